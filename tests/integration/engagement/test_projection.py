"""The engagement read model on real PostgreSQL against a count of its own, at every position of random histories."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg
import pytest
from msgspec.structs import asdict

from contacts.contact.events import ContactErased
from contacts.engagement.projection import EngagementProjection
from contacts.engagement.queries import EngagementQueries
from contacts.merge.events import MergeCompleted, MergeReversed
from eventstore import builds
from eventstore.envelope import RecordedEvent
from tests.integration.activity.model import START
from tests.integration.engagement.histories import History, activity, told

LIVE: Final = "rm_engagement"
BESIDE: Final = "rm_engagement_b9"
TABLES: Final = ("engagement", "engagement_member", "engagement_history")
STEPS: Final = 120


class Model:
    """The live build, and one beside it to compare with."""

    def __init__(self, projector: asyncpg.Connection, readers: asyncpg.Pool) -> None:
        self.projector = projector
        self.queries = EngagementQueries(readers)
        self._projection = EngagementProjection()

    async def apply(self, events: list[RecordedEvent[Any]], *, batch: int, fresh: bool, schema: str = LIVE) -> None:
        wanted = [event for event in events if event.type in self._projection.types]
        for start in range(0, len(wanted), batch):
            async with self.projector.transaction():
                await builds.use_schema(self.projector, schema)
                some = wanted[start : start + batch]
                await self._projection.apply(self.projector, some, fresh=fresh and start == 0)

    async def content(self, schema: str, workspace_id: UUID) -> dict[str, list[Any]]:
        found = {}
        for table in TABLES:
            query = f"SELECT t FROM {schema}.{table} AS t WHERE workspace_id = $1 ORDER BY t::text"
            found[table] = [tuple(row["t"]) for row in await self.projector.fetch(query, workspace_id)]
        return found


@pytest.fixture(scope="module")
async def model(module_database: str) -> AsyncIterator[Model]:
    projector = await asyncpg.connect(module_database, server_settings={"role": "rollbook_projector", "jit": "off"})
    readers = await asyncpg.create_pool(
        module_database, min_size=1, max_size=2, server_settings={"role": "rollbook_reader", "jit": "off"}
    )
    projection = EngagementProjection()
    await builds.ensure_builds(projector, [projection])
    await projector.execute(f"CREATE SCHEMA {BESIDE}")
    async with projector.transaction():
        await builds.use_schema(projector, BESIDE)
        await projector.execute(projection.schema_sql)
    yield Model(projector, readers)
    await readers.close()
    await projector.close()


@pytest.mark.parametrize("seed", range(6))
async def test_every_past_and_present_position_shows_what_a_count_of_its_own_shows(model: Model, seed: int) -> None:
    history = History(seed)
    events = history.grow(STEPS)
    await model.apply(events, batch=1 + 7 * seed, fresh=seed % 2 == 0)
    readable = history.read_again()
    for position in range(len(events) + 1):
        found = await model.queries.past(history.workspace_id, history.contacts, position)
        assert {contact: asdict(each) for contact, each in found.items()} == told(readable, position), position
    present = await model.queries.present(history.workspace_id, history.contacts)
    assert {contact: asdict(each) for contact, each in present.items()} == told(readable, len(events))


@pytest.mark.parametrize("seed", range(10, 18))
async def test_a_rebuild_after_erasures_equals_what_was_kept_in_batches_of_any_size(model: Model, seed: int) -> None:
    history = History(seed, contacts=14)
    events = history.grow(2 * STEPS)
    assert history.erased
    await model.apply(events, batch=1 + seed % 5, fresh=False)
    await model.apply(history.read_again(), batch=10_000, fresh=True, schema=BESIDE)
    kept, rebuilt = [await model.content(schema, history.workspace_id) for schema in (LIVE, BESIDE)]
    assert kept == rebuilt
    assert kept["engagement_history"]


async def test_late_and_repeated_news_of_an_older_time_change_nothing_that_is_newer(model: Model) -> None:
    history = History(1, contacts=1)
    (contact,) = history.contacts
    log, workspace_id = history.log, history.workspace_id
    log.record(workspace_id, contact, activity("conversation.opened", START + timedelta(minutes=5), channel="sms"))
    log.record(workspace_id, contact, activity("conversation.message_in", START + timedelta(minutes=6), preview="new"))
    log.record(workspace_id, contact, activity("conversation.message_out", START, preview="old", channel="telegram"))
    log.record(workspace_id, contact, activity("conversation.closed", START + timedelta(minutes=1)))
    await model.apply(log.events, batch=1, fresh=False)
    shown = (await model.queries.present(workspace_id, [contact]))[contact]
    assert (shown.conversation_status, shown.last_message_preview, shown.last_channel) == ("open", "new", "telegram")
    assert shown.last_interaction_at == shown.last_incoming_at == START + timedelta(minutes=6)
    versions = await model.projector.fetchval(
        f"SELECT count(*) FROM {LIVE}.engagement_history WHERE workspace_id = $1", workspace_id
    )
    assert versions == 3, "what changes nothing that is shown makes no version"


async def test_a_merged_profile_shows_all_as_one_and_each_its_own_again_right_after_the_unmerge(model: Model) -> None:
    history = History(2, contacts=2)
    anna, ben = history.contacts
    log, workspace_id, merge_id = history.log, history.workspace_id, UUID(int=77)
    log.record(workspace_id, anna, activity("conversation.message_in", START, preview="of Anna"))
    log.record(workspace_id, ben, activity("conversation.message_in", START + timedelta(minutes=1), preview="of Ben"))
    log.record(workspace_id, merge_id, MergeCompleted(primary=anna, others=(ben,)))
    await model.apply(log.events, batch=10, fresh=False)
    shown = await model.queries.present(workspace_id, [anna, ben])
    assert {contact: each.last_message_preview for contact, each in shown.items()} == {anna: "of Ben"}
    seen = len(log.events)
    log.record(workspace_id, merge_id, MergeReversed(contacts=(ben,), out_of=anna))
    await model.apply(log.events[seen:], batch=10, fresh=False)
    shown = await model.queries.present(workspace_id, [anna, ben])
    assert {contact: each.last_message_preview for contact, each in shown.items()} == {anna: "of Anna", ben: "of Ben"}


async def test_nothing_of_an_erased_contact_is_left_in_the_past_of_others(model: Model) -> None:
    history = History(3, contacts=2)
    anna, ben = history.contacts
    log, workspace_id, merge_id = history.log, history.workspace_id, UUID(int=78)
    log.record(workspace_id, anna, activity("conversation.message_in", START, preview="of Anna"))
    log.record(workspace_id, ben, activity("conversation.message_in", START + timedelta(minutes=1), preview="of Ben"))
    log.record(workspace_id, merge_id, MergeCompleted(primary=anna, others=(ben,)))
    log.record(workspace_id, merge_id, MergeReversed(contacts=(ben,), out_of=anna))
    log.record(workspace_id, ben, ContactErased(erasure_id=UUID(int=5), reason="person_asked"))
    await model.apply(log.events, batch=10, fresh=False)
    rows = await model.projector.fetch(
        f"SELECT h::text AS said FROM {LIVE}.engagement_history AS h WHERE workspace_id = $1", workspace_id
    )
    assert len(rows) == 1
    assert "of ben" not in str(rows)
    assert (await model.queries.past(workspace_id, [anna], 3))[anna].last_message_preview == "of Anna"


async def test_another_workspace_sees_nothing_of_it(model: Model) -> None:
    history = History(4, contacts=2)
    await model.apply(history.grow(20), batch=20, fresh=False)
    assert not await model.queries.present(UUID(int=1), history.contacts)
    assert not await model.queries.past(UUID(int=1), history.contacts, 10)
