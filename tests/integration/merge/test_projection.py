"""Merged contacts in the contact read model: one row per profile, at any position, in any batches, in any slices."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg
import pytest

from contacts.contact import commands as c
from contacts.contact.state import Contact
from contacts.errors import ContactNotFound
from contacts.merge import rows
from eventstore import builds
from eventstore.envelope import RecordedEvent, slice_of
from tests.integration.contact.model import LIVE, Model, open_model
from tests.property.figures import SEED, figure
from tests.property.merge_histories import History
from tests.support.gathering import WORKSPACE, Gathering

REBUILT: Final = "rm_contact_b2"
A, B, C, D = (UUID(int=number) for number in range(0xA, 0xE))
M1, M2, M3 = (UUID(int=number) for number in range(0xE1, 0xE4))


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
def book() -> Gathering:
    book = Gathering()
    for contact_id, name in ((A, "Ann"), (B, "Ben"), (C, "Cleo"), (D, "Dora")):
        book.create(contact_id, email=f"{name.lower()}@example.com", first_name=name, tags=(name,))
    return book


async def listed(model: Model, **wanted: Any) -> list[Contact]:
    return list((await model.queries.list(WORKSPACE, sort="created_at", **wanted)).items)


async def is_the_fold(model: Model, book: Gathering) -> None:
    """The list, every id, the counts: all as folding the streams says."""
    profiles = book.present()
    shown = {contact.id: contact for deleted in (False, True) for contact in await listed(model, deleted=deleted)}
    assert shown == profiles
    everybody = await model.queries.get_many(WORKSPACE, book.contacts)
    assert everybody == {contact_id: profiles[book.root_of(contact_id)] for contact_id in book.contacts}
    for deleted in (False, True):
        counts = await model.queries.counts(WORKSPACE, deleted=deleted)
        those = [profile for profile in profiles.values() if profile.deleted is deleted]
        assert (counts.total, counts.email["all"]) == (len(those), sum(p.email is not None for p in those))
    recency = {row["contact_id"] for row in await model.rows("contact_recency")}
    assert recency == set(profiles)


# -- what is seen -----------------------------------------------------------------------------------------------------


async def test_a_merge_is_one_row_and_the_absorbed_lead_to_it(model: Model, book: Gathering) -> None:
    book.merge(M1, A, B, C)
    await model.apply(book.log)
    assert [contact.id for contact in await listed(model)] == [A, D]
    assert [contact.id for contact in await listed(model, q="ben")] == []
    assert (await model.queries.get(WORKSPACE, B)).absorbed == (B, C)
    with pytest.raises(ContactNotFound):
        await model.queries.get(UUID(int=99), B)
    await is_the_fold(model, book)


async def test_a_profile_is_found_by_what_any_of_its_contacts_says(model: Model, book: Gathering) -> None:
    book.create(UUID(int=1), external_id="x-1", messaging_id="m-1", phone="+4930901820")
    book.merge(M1, B, UUID(int=1))
    book.merge(M2, A, B)
    await model.apply(book.log)
    for by, key in (
        ("email", "ann@example.com"), ("email", "ben@example.com"), ("external_id", "x-1"), ("messaging_id", "m-1"),
        ("phone", "+4930901820"),
    ):  # fmt: skip
        assert await model.queries.find_by(WORKSPACE, by, key) == [A]  # type: ignore[arg-type]
    book.do(c.DeleteContact, A, reason="asked")
    await model.apply(book.log[-1:])
    assert await model.queries.find_by(WORKSPACE, "email", "ben@example.com") == []


async def test_what_comes_out_of_a_merge_is_in_the_list_again(model: Model, book: Gathering) -> None:
    await model.apply(book.log)
    before = await model.content()
    book.merge(M1, B, C)
    book.merge(M2, A, B)
    book.unmerge(M2)
    book.unmerge(M1)
    await model.apply(book.log)
    await is_the_fold(model, book)
    after = await model.content()
    assert after["contact_member"] == []
    changing = {"version", "position", "changed_at", "state"}
    for row, was in zip(after["contact"], before["contact"], strict=True):
        assert {k: v for k, v in row.items() if k not in changing} == {
            k: v for k, v in was.items() if k not in changing
        }


async def test_the_row_follows_every_change_of_the_tree(model: Model, book: Gathering) -> None:
    done = 0

    async def catch_up() -> None:
        nonlocal done
        events = book.log
        await model.apply(events[done:])
        done = len(events)
        await is_the_fold(model, book)

    book.merge(M1, B, C)
    await catch_up()
    book.merge(M2, A, B, first_name=C)
    await catch_up()
    book.do(c.UntagContact, C, tags=("Ben",))
    await catch_up()
    book.unmerge(M2, mode="single")
    await catch_up()
    book.do(c.DeleteContact, A, reason="asked")
    await catch_up()
    book.unmerge(M1)
    await catch_up()
    book.merge(M3, D, B)
    await catch_up()


async def test_applying_a_merge_again_changes_nothing(model: Model, book: Gathering) -> None:
    book.merge(M1, A, B)
    book.do(c.TagContact, B, tags=("x",))
    book.merge(M2, C, A)
    await model.apply(book.log)
    before = await model.content()
    await model.apply(book.log)
    await model.apply(book.log, batch=1)
    assert await model.content() == before


# -- any batches, any slices ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(figure(25, 500)))
async def test_rows_are_the_fold_however_the_events_come(model: Model, number: int) -> None:
    pick = random.Random(SEED + number)
    print(f"seed {SEED}, history {number}")
    history = History(pick.randbytes(pick.randint(40, 240)))
    history.run()
    book = history.real
    events = book.log
    await model.apply(events, batch=pick.choice([1, 2, 7, 50]))
    await is_the_fold(model, book)

    await model.apply(events, batch=len(events), schema=REBUILT, fresh=True)
    live, rebuilt = await model.content(), await model.content(REBUILT)
    assert rebuilt == live


async def test_slices_that_lag_behind_each_other_agree_in_the_end(model: Model, module_database: str) -> None:
    """Two units of the projector, each with the streams of its slices, each at its own pace, at the same time."""
    for number in range(figure(8, 200)):
        await model.clear(LIVE)
        pick = random.Random(SEED + 10_000 + number)
        history = History(pick.randbytes(pick.randint(40, 200)))
        history.run()
        events = history.real.log
        shares = [[event for event in events if slice_of(event.stream_id) % 3 == share] for share in range(3)]
        await asyncio.gather(*(_unit(module_database, model, share, pick.randrange(1, 9)) for share in shares))
        await is_the_fold(model, history.real)
        once = await model.content()
        await model.clear(LIVE)
        await model.apply(events)
        for table, found in (await model.content()).items():
            assert without_position(once[table]) == without_position(found)


async def _unit(database: str, model: Model, events: Sequence[RecordedEvent[Any]], batch: int) -> None:
    connection = await asyncpg.connect(database, server_settings={"role": "rollbook_projector", "jit": "off"})
    try:
        for start in range(0, len(events), batch):
            async with connection.transaction():
                await builds.use_schema(connection, LIVE)
                await model.projection.apply(connection, events[start : start + batch], fresh=False)
    finally:
        await connection.close()


def without_position(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "position"} for row in found]


async def _comes_to_the_fold(model: Model, book: Gathering) -> None:
    await model.apply(book.log, batch=1)
    await is_the_fold(model, book)


@pytest.mark.parametrize(
    ("what", "planted"),
    [
        ("absorbed contacts stay in the list", lambda m: m.setattr(rows.Touched, "visible", property(lambda _: True))),
        ("only those that an event is about are looked up", lambda m: m.setattr(rows, "_next_to", lambda _: iter(()))),
    ],
)
async def test_a_planted_bug_is_caught(
    model: Model, book: Gathering, what: str, planted: Callable[[pytest.MonkeyPatch], None]
) -> None:
    book.merge(M1, A, B)
    book.merge(M2, C, A)
    await _comes_to_the_fold(model, book)
    await model.clear(LIVE)
    with pytest.MonkeyPatch.context() as monkeypatch:
        planted(monkeypatch)
        with pytest.raises((AssertionError, LookupError)):
            await _comes_to_the_fold(model, book)
