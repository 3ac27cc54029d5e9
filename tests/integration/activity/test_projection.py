"""The activity projections on real PostgreSQL: rows are where they belong, however and whenever their events arrive."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg
import pytest

from contacts.activity.identity import identity_digest
from contacts.activity.projection import COLUMNS
from contacts.contact import events as e
from eventstore import builds
from eventstore.envelope import Unreadable
from tests.integration.activity.model import LIVE, START, Log, Model, open_model, recorded

WORKSPACE: Final = UUID(int=1)
OTHER: Final = UUID(int=2)
REBUILT: Final = "rm_activity_b2"
ERASED: Final = e.ContactErased(erasure_id=UUID(int=9), reason="person_asked")


@pytest.fixture(scope="module")
async def shared_model(module_database: str) -> AsyncIterator[Model]:
    async with open_model(module_database) as model:
        await model.add_build(REBUILT)
        yield model


@pytest.fixture
async def model(shared_model: Model) -> Model:
    await shared_model.clear(LIVE, REBUILT)
    return shared_model


@pytest.fixture
def log() -> Log:
    return Log()


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


async def partitions(model: Model, schema: str = LIVE) -> dict[str, int]:
    """Rows by partition; only those that hold any."""
    rows = await model.projector.fetch(
        f"SELECT tableoid::regclass::text AS name, count(*) FROM {schema}.activity GROUP BY 1"
    )
    return {row["name"].rpartition(".")[2]: row["count"] for row in rows}


def random_events(log: Log, contacts: list[UUID], count: int) -> None:
    chance = random.Random(5)
    kinds = ("message.clicked", "order.placed", "web.viewed", "conversation.message_in")
    for number in range(count):
        occurred_at = START - timedelta(minutes=chance.randrange(3 * 365 * 24 * 60))
        log.record(WORKSPACE, chance.choice(contacts), recorded(f"a-{number}", occurred_at, chance.choice(kinds)))


# -- what it is made of -----------------------------------------------------------------------------------------------


async def test_a_row_has_a_value_for_every_column_of_the_table(model: Model) -> None:
    columns = await model.projector.fetch(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = $1 AND table_name = 'activity' "
        "ORDER BY ordinal_position",
        LIVE,
    )
    assert tuple(row["column_name"] for row in columns) == COLUMNS


async def test_each_month_is_a_partition_of_its_own_and_what_is_older_is_one(model: Model, log: Log) -> None:
    contact_id = uuid4()
    moments = (
        "2026-02-28T23:59:59.999999", "2026-03-01T00:00:00", "2026-12-31T23:59:59", "2027-01-01T00:00:00",
        "2020-01-01T00:00:00", "2019-12-31T23:59:59", "2003-05-05T00:00:00",
    )  # fmt: skip
    log.record(WORKSPACE, contact_id, *(recorded(f"a-{n}", at(moment)) for n, moment in enumerate(moments)))

    await model.apply(log.events)

    assert await partitions(model) == {
        "activity_2026_02": 1, "activity_2026_03": 1, "activity_2026_12": 1, "activity_2027_01": 1,
        "activity_2020_01": 1, "activity_older": 2,
    }  # fmt: skip
    assert await model.ids(WORKSPACE, contact_id) == ["a-3", "a-2", "a-1", "a-0", "a-4", "a-5", "a-6"]


async def test_a_month_is_made_beside_open_readers_and_by_one_of_several_at_once(model: Model, log: Log) -> None:
    """Planted bug: made as a partition at once, it waits for the reader until this test has no time left."""
    first, second = uuid4(), uuid4()
    log.record(WORKSPACE, first, recorded("a", at("2031-05-01T00:00:00")))
    log.record(WORKSPACE, second, recorded("b", at("2031-05-02T00:00:00")))
    others = [await asyncpg.connect(**_same(model)) for _ in range(2)]
    try:
        async with model.readers.acquire() as reader, reader.transaction():
            await reader.execute("SET LOCAL rollbook.workspace_id = '00000000-0000-0000-0000-000000000001'")
            await reader.fetch(f"SELECT * FROM {LIVE}.activity")
            models = [Model(connection, model.readers) for connection in others]
            async with asyncio.timeout(10):
                await asyncio.gather(*(m.apply([event]) for m, event in zip(models, log.events, strict=True)))
    finally:
        for connection in others:
            await connection.close()
    assert (await partitions(model))["activity_2031_05"] == 2


def _same(model: Model) -> dict[str, Any]:
    address, parameters = model.projector._addr, model.projector._params
    return {
        "host": address[0], "port": address[1], "user": parameters.user, "password": parameters.password,
        "database": parameters.database, "server_settings": {"role": "rollbook_projector"},
    }  # fmt: skip


# -- repeats and order ------------------------------------------------------------------------------------------------


async def test_applying_events_again_changes_nothing(model: Model, log: Log) -> None:
    contacts = [uuid4(), uuid4(), uuid4()]
    random_events(log, contacts, 60)
    await model.apply(log.events)
    before = await model.content()

    await model.apply(log.events)
    await model.apply(log.events[20:], batch=7)

    assert await model.content() == before
    assert sum(row[-1] for row in before["activity_month"]) == len(before["activity"]) == 60


async def test_late_and_out_of_order_events_land_where_they_belong(model: Model, log: Log) -> None:
    contact_id = uuid4()
    numbers = list(range(40))
    random.Random(7).shuffle(numbers)
    for number in numbers:
        log.record(WORKSPACE, contact_id, recorded(f"a-{number:02}", START - timedelta(days=number)))

    await model.apply(log.events, batch=3)

    assert await model.ids(WORKSPACE, contact_id) == [f"a-{number:02}" for number in range(40)]


async def test_what_happened_at_the_same_instant_is_ordered_by_id_and_source(model: Model, log: Log) -> None:
    contact_id = uuid4()
    log.record(
        WORKSPACE,
        contact_id,
        recorded("b", START, source="one"),
        recorded("a", START, "order.placed"),
        recorded("b", START, source="two"),
        recorded("é", START),
        recorded("B", START),
    )
    await model.apply(log.events)

    shown = [(a.activity_id, a.source) for a in await model.timeline(WORKSPACE, contact_id)]
    assert shown == sorted(shown, reverse=True)
    assert len(shown) == 5


async def test_a_build_that_was_copied_in_equals_the_one_kept_all_along(model: Model, log: Log) -> None:
    contacts = [uuid4() for _ in range(10)]
    random_events(log, contacts, 300)
    log.record(WORKSPACE, contacts[0], ERASED)
    log.record(OTHER, uuid4(), recorded("theirs", START))
    await model.apply(log.events, batch=11)

    unreadable = Unreadable(type="activity.recorded")
    seen_later = [
        event if event.stream_id != contacts[0] or event.type == "contact.erased"
        else type(event)(**{**{name: getattr(event, name) for name in event.__struct_fields__}, "event": unreadable})
        for event in log.events
    ]  # fmt: skip
    await model.apply(seen_later, fresh=True, schema=REBUILT)

    assert await model.content(REBUILT) == await model.content()
    assert len((await model.content())["activity"]) > 200


# -- erasure ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 1_000])
async def test_nothing_is_left_of_an_erased_contact(model: Model, log: Log, batch: int) -> None:
    erased, kept = uuid4(), uuid4()
    log.record(WORKSPACE, erased, recorded("a", START), recorded("b", START - timedelta(days=400)))
    log.record(WORKSPACE, kept, recorded("c", START))
    log.record(WORKSPACE, erased, ERASED)

    await model.apply(log.events, batch=batch)

    content = await model.content()
    assert {row[1] for rows in content.values() for row in rows} == {kept}
    await model.apply(log.events, batch=batch)
    assert await model.content() == content


# -- who may see it ---------------------------------------------------------------------------------------------------


async def test_readers_see_their_own_workspace_and_no_partition_directly(model: Model, log: Log) -> None:
    log.record(WORKSPACE, uuid4(), recorded("ours", START))
    log.record(OTHER, uuid4(), recorded("theirs", START))
    await model.apply(log.events)
    async with model.readers.acquire() as reader:
        assert await reader.fetch(f"SELECT * FROM {LIVE}.activity") == []
        async with reader.transaction():
            await reader.execute(f"SET LOCAL rollbook.workspace_id = '{WORKSPACE}'")
            for table in ("activity", "activity_month"):
                rows = await reader.fetch(f"SELECT workspace_id FROM {LIVE}.{table}")
                assert [row["workspace_id"] for row in rows] == [WORKSPACE]
        for partition in ("activity_2026_03", "activity_older"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await reader.fetch(f"SELECT * FROM {LIVE}.{partition}")


# -- whose channel identities are -------------------------------------------------------------------------------------


async def identities(model: Model, schema: str = "rm_identity") -> set[tuple[UUID, bytes, str, UUID]]:
    return set((await model.content(schema, ["identity"]))["identity"])


async def test_channel_identities_follow_what_contacts_say_themselves(model: Model, log: Log) -> None:
    anna, ben = uuid4(), uuid4()
    telegram = e.ChannelIdentity(kind="telegram", token="7", application="bot")
    push = e.ChannelIdentity(kind="mobile_push", token="t" * 4_000)
    log.record(WORKSPACE, anna, e.ContactCreated(source="api", channels=(telegram, push)))
    log.record(WORKSPACE, ben, e.ContactCreated(source="api"), e.ContactChannelConnected(channel=telegram))
    log.record(WORKSPACE, anna, e.ContactChannelDisconnected(kind="mobile_push", token=push.token))
    log.record(WORKSPACE, ben, e.ContactDeleted(reason="asked"), e.ContactMerged(merge_id=uuid4(), others=(anna,)))

    for batch in (1_000, 1, 2):
        await model.apply(log.events, batch=batch, schema="rm_identity", projection=model.identity)
        digest = identity_digest("telegram", "7")
        assert await identities(model) == {(WORKSPACE, digest, "bot", anna), (WORKSPACE, digest, "bot", ben)}

    log.record(WORKSPACE, anna, ERASED)
    await model.apply(log.events[-1:], schema="rm_identity", projection=model.identity)
    assert {row[3] for row in await identities(model)} == {ben}


async def test_the_indexes_can_be_made_in_a_build(model: Model) -> None:
    assert len(builds.index_statements(model.identity.index_sql)) == 1
    assert len(builds.index_statements(model.activity.index_sql)) == 1
