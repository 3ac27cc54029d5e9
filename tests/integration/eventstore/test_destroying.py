"""Data keys destroyed in an append: what they encrypted is gone with it, and nobody can write with them any more."""

from __future__ import annotations

import asyncio
from functools import partial
from uuid import UUID, uuid4

import pytest

from eventstore.envelope import ANY_VERSION, NO_STREAM, Appended, Claim, Stream, StreamWrite, Unreadable, Write
from eventstore.errors import DuplicateAppend, SubjectErased, WrongExpectedVersion
from eventstore.spans import Span, find_spans
from eventstore.states import read_states
from eventstore.store import EventStore
from eventstore.verify import verify_chain
from tests.integration.eventstore.conftest import OpenStore, superuser
from tests.support.sample import Noted, stream_of, write


async def person(store: EventStore, workspace: UUID) -> tuple[Stream, Stream]:
    """A subject with a stream that takes versions and one that takes facts in any order."""
    profile = stream_of(workspace)
    facts = Stream(workspace, "fact", profile.id)
    await store.append(write(profile, Noted("secret name"), subject=profile.id, new_subject=True))
    await store.append(fact(facts))
    return profile, facts


def fact(stream: Stream, key: str | None = None) -> Write:
    return write(stream, Noted("secret"), expected=ANY_VERSION, subject=stream.id, key=key or str(uuid4()))


def erasing(profile: Stream, *, expected: int = 1, key: str | None = None, claims: tuple[Claim, ...] = ()) -> Write:
    part = StreamWrite(stream=profile, expected_version=expected, events=(Noted("erased"),))
    return Write(
        workspace_id=profile.workspace_id, streams=(part,), claims=claims, idempotency_key=key,
        destroy_subjects=(profile.id,),
    )  # fmt: skip


async def read(store: EventStore, stream: Stream) -> list[object]:
    return [event.event for event in await store.read_stream(stream)]


async def test_everything_encrypted_for_the_subject_is_unreadable_from_the_answer_on(
    store: EventStore, workspace: UUID
) -> None:
    profile, facts = await person(store, workspace)
    other, _ = await person(store, workspace)
    await store.append(erasing(profile))
    assert await read(store, profile) == [Unreadable(type="test.noted"), Noted("erased")]
    assert await read(store, facts) == [Unreadable(type="test.noted")]
    assert await read(store, other) == [Noted("secret name")]


async def test_no_process_writes_with_a_key_it_still_has(
    store: EventStore, open_store: OpenStore, workspace: UUID
) -> None:
    profile, facts = await person(store, workspace)
    elsewhere = await open_store()
    await elsewhere.append(fact(facts))
    await store.append(erasing(profile))
    for each in (store, elsewhere):
        with pytest.raises(SubjectErased) as refused:
            await each.append(fact(facts))
        assert refused.value.subject_id == profile.id
    assert len(await read(store, facts)) == 2


async def test_a_writer_who_decided_before_meets_a_conflict_and_then_the_missing_key(
    store: EventStore, open_store: OpenStore, workspace: UUID
) -> None:
    profile, _ = await person(store, workspace)
    elsewhere = await open_store()
    assert await read(elsewhere, profile) == [Noted("secret name")]
    await store.append(erasing(profile))
    with pytest.raises(WrongExpectedVersion):
        await elsewhere.append(write(profile, Noted("more"), expected=1, subject=profile.id))
    with pytest.raises(SubjectErased):
        await elsewhere.append(write(profile, Noted("more"), expected=2, subject=profile.id))


async def test_a_new_stream_of_an_old_subject_is_refused_as_well(
    store: EventStore, open_store: OpenStore, workspace: UUID
) -> None:
    profile, facts = await person(store, workspace)
    elsewhere = await open_store()
    await elsewhere.append(fact(facts))
    await store.append(erasing(profile))
    with pytest.raises(SubjectErased):
        await elsewhere.append(write(stream_of(workspace), Noted("more"), subject=profile.id))


async def test_only_what_belongs_to_the_erased_is_refused_of_those_who_write_together(
    store: EventStore, open_store: OpenStore, workspace: UUID
) -> None:
    people = [await person(store, workspace) for _ in range(12)]
    elsewhere = await open_store()
    await asyncio.gather(*(elsewhere.append(fact(facts)) for _, facts in people))
    for profile, _ in people[::3]:
        await store.append(erasing(profile))
    answers = await asyncio.gather(*(elsewhere.append(fact(facts)) for _, facts in people), return_exceptions=True)
    assert [type(answer) for answer in answers] == [Appended if n % 3 else SubjectErased for n in range(12)]


async def test_facts_that_race_an_erasure_are_written_before_it_or_refused(
    store: EventStore, open_store: OpenStore, workspace: UUID
) -> None:
    profile, facts = await person(store, workspace)
    elsewhere = await open_store()
    writing = [asyncio.create_task((store, elsewhere)[n % 2].append(fact(facts))) for n in range(60)]
    erased = await store.append(erasing(profile))
    answers = await asyncio.gather(*writing, return_exceptions=True)
    assert {type(answer) for answer in answers} <= {Appended, SubjectErased}
    assert all(a.last_position < erased.last_position for a in answers if isinstance(a, Appended))
    assert len(await read(store, facts)) == 1 + sum(isinstance(answer, Appended) for answer in answers)


async def test_a_repeat_of_what_was_done_before_is_answered_as_that(store: EventStore, workspace: UUID) -> None:
    profile, facts = await person(store, workspace)
    once = await store.append(fact(facts, key="once"))
    erased = await store.append(erasing(profile, key="erase"))
    for repeat, original in ((fact(facts, key="once"), once), (erasing(profile, key="erase"), erased)):
        with pytest.raises((DuplicateAppend, SubjectErased)) as refused:
            await store.append(repeat)
        assert not isinstance(refused.value, DuplicateAppend) or refused.value.original == original


async def test_a_refused_erasure_destroys_nothing(store: EventStore, workspace: UUID) -> None:
    profile, facts = await person(store, workspace)
    with pytest.raises(WrongExpectedVersion):
        await store.append(erasing(profile, expected=7))
    assert await read(store, facts) == [Noted("secret")]


async def test_keys_of_another_workspace_are_out_of_reach(store: EventStore, workspace: UUID) -> None:
    foreign, _ = await person(store, uuid4())
    part = StreamWrite(stream=stream_of(workspace), expected_version=NO_STREAM, events=(Noted("erased"),))
    await store.append(Write(workspace_id=workspace, streams=(part,), destroy_subjects=(foreign.id,)))
    assert await read(store, foreign) == [Noted("secret name")]


async def test_snapshots_of_the_subject_go_and_claims_move_in_the_same_append(
    store: EventStore, workspace: UUID, module_database: str
) -> None:
    profile, _ = await person(store, workspace)
    await store.append(write(profile, Noted("x"), expected=1, subject=profile.id, claims=(claim(profile, True),)))
    keep = partial(store.snapshots.keep, profile, 0, schema_version=1, subject_id=profile.id, encode=lambda: b"state")
    keep(version=2)
    await store.snapshots.settled()
    assert (await read_states(store, {profile: 0}, 1, bytes))[profile].base == (b"state", 2)
    await store.append(erasing(profile, expected=2, claims=(claim(profile, False),)))
    assert await store.find_claim(workspace, "name", "ann") is None
    keep(version=3)
    await store.snapshots.settled()
    async with superuser(module_database) as connection:
        kept = await connection.fetchval("SELECT count(*) FROM log.snapshots WHERE stream_id = $1", profile.id)
        keys = await connection.fetchval("SELECT count(*) FROM keys.subject_keys WHERE subject_id = $1", profile.id)
    assert (kept, keys) == (0, 0)


def claim(profile: Stream, take: bool) -> Claim:
    return Claim(kind="name", value="ann", holder=profile.id, take=take)


async def test_the_bulk_path_destroys_nothing(store: EventStore, workspace: UUID) -> None:
    profile, _ = await person(store, workspace)
    with pytest.raises(ValueError, match="destroys no data keys"):
        await store.append_bulk([erasing(profile)])


async def test_the_chain_of_a_log_with_erased_subjects_verifies(store: EventStore, workspace: UUID) -> None:
    profile, _ = await person(store, workspace)
    await store.append(erasing(profile))
    report = await verify_chain(store.pool, store.lane_of(workspace))
    assert report.first_bad_position is None
    assert report.events == await store.head(report.lane)


async def test_a_span_tells_how_much_a_stream_holds_and_where(store: EventStore, workspace: UUID) -> None:
    profile, facts = await person(store, workspace)
    last = await store.append(fact(facts))
    spans = await find_spans(store, [facts, stream_of(workspace), profile])
    assert list(spans) == [facts, profile]
    assert spans[facts] == Span(events=2, first_position=last.last_position - 1, last_position=last.last_position)
