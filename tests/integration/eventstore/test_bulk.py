"""The COPY path: the same lane and chain as single appends, chunk by chunk, with live commands between the chunks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest

from eventstore import bulk
from eventstore.bulk import event_digest
from eventstore.envelope import ANY_VERSION, Appended, Claim, Stream, Write
from eventstore.errors import ClaimTaken, DuplicateAppend, SubjectErased, WrongExpectedVersion
from eventstore.store import EventStore
from eventstore.verify import verify_chain
from tests.integration.eventstore.conftest import OpenStore, superuser
from tests.support.model import Commands, Model, Verdict
from tests.support.sample import Counted, Noted, stream_of, texts, write
from tests.support.waiting import until


async def assert_whole(store: EventStore) -> None:
    report = await verify_chain(store.pool, 0)
    assert (report.first_bad_position, report.reason) == (None, None)


async def test_a_bulk_append_answers_the_place_of_every_write(store: EventStore, workspace: UUID) -> None:
    writes = [
        write(stream_of(workspace), *(Counted(n * 10 + i) for i in range(n % 4)), key=f"place {n}", request=b"r")
        for n in range(200)
    ]
    answers = await store.append_bulk(writes)
    for n, (one, answer) in enumerate(zip(writes, answers, strict=True)):
        events = await store.read_stream(one.streams[0].stream)
        assert [event.event.number for event in events] == [n * 10 + i for i in range(n % 4)]
        assert [event.position for event in events] == list(range(answer.first_position, answer.last_position + 1))
        assert await store.find_idempotent(workspace, f"place {n}") == (answer, b"r")
    await assert_whole(store)


async def test_nothing_in_bulk_is_nothing(store: EventStore) -> None:
    assert await store.append_bulk([]) == []


async def test_bulk_and_single_appends_make_one_chain(database: str, open_store: OpenStore, workspace: UUID) -> None:
    stores = [await open_store(database), await open_store(database)]

    async def singles(store: EventStore) -> None:
        for _ in range(5):
            await asyncio.gather(*(store.append(write(stream_of(workspace), Noted("s"))) for _ in range(20)))

    async def bulks(store: EventStore) -> None:
        for n in range(5):
            subjects = [stream_of(workspace) for _ in range(150)]
            await store.append_bulk(
                [
                    write(s, Noted("b"), Noted("c"), subject=s.id if n % 2 else None, new_subject=n % 2 == 1)
                    for s in subjects
                ]
            )

    await asyncio.gather(*(work(store) for store in stores for work in (singles, bulks)))
    assert await stores[0].head(0) == 2 * (5 * 20 + 5 * 300)
    await assert_whole(stores[0])
    batches = await stores[0].pool.fetch("SELECT last_position - first_position + 1 AS size FROM log.batches")
    assert {300} <= {row["size"] for row in batches}


async def test_sql_and_python_compute_the_same_digest(store: EventStore, workspace: UUID) -> None:
    stream = stream_of(workspace)
    await store.append(write(stream, Noted("ä\N{SNOWMAN}"), Noted(""), subject=stream.id, new_subject=True))
    await store.append_bulk([write(stream_of(workspace), Noted("b" * 5_000))])
    await store.append(write(Stream(workspace, "category é", uuid4()), Counted(-1)))
    rows = await store.pool.fetch(
        "SELECT *, log.digest(workspace_id, category, stream_id, version, event_id, type, schema_version, subject_id, "
        "metadata, payload) AS digest FROM log.events WHERE workspace_id = $1", workspace,
    )  # fmt: skip
    assert len(rows) == 4
    for row in rows:
        own = event_digest(
            Stream(row["workspace_id"], row["category"], row["stream_id"]), row["version"], row["subject_id"],
            (row["event_id"], row["type"], row["schema_version"], row["metadata"], row["payload"]),
        )  # fmt: skip
        assert own == row["digest"]
    assert len({row["digest"] for row in rows}) == 4


def refused_writes(workspace: UUID, there: Stream) -> dict[str, tuple[Write, type[Exception]]]:
    stream = stream_of(workspace)
    return {
        "a key that was used": (write(stream, Noted("a"), key="there"), DuplicateAppend),
        "a new stream that exists": (write(there, Noted("a")), WrongExpectedVersion),
        "a new stream that exists, without events": (write(there, key="k"), WrongExpectedVersion),
        "a version that was passed": (
            write(there, Noted("x"), expected=1), WrongExpectedVersion,
        ),
        "a version not yet reached": (write(there, Noted("a"), expected=3), WrongExpectedVersion),
        "an unknown stream at a version": (write(stream, Noted("a"), expected=1), WrongExpectedVersion),
        "a claim of another": (
            write(stream, Noted("a"), claims=(Claim(kind="email", value="there", holder=stream.id),)), ClaimTaken,
        ),
        "a stream of another workspace": (
            write(Stream(uuid4(), there.category, there.id), Noted("a"), expected=2), WrongExpectedVersion,
        ),
        "a new stream by the id of another workspace's": (
            write(Stream(uuid4(), there.category, there.id), Noted("a")), WrongExpectedVersion,
        ),
        "any version": (write(stream, Noted("a"), expected=ANY_VERSION, key="any"), ValueError),
        "an erased subject": (write(stream, Noted("a"), subject=uuid4()), SubjectErased),
    }  # fmt: skip


@pytest.mark.parametrize("refused", list(refused_writes(uuid4(), stream_of(uuid4()))))
async def test_a_refused_write_undoes_its_chunk(store: EventStore, workspace: UUID, refused: str) -> None:
    there = stream_of(workspace)
    claim = Claim(kind="email", value="there", holder=there.id)
    await store.append(write(there, Noted("1"), Noted("2"), key="there", claims=(claim,)))
    head = await store.head(0)
    bad, error = refused_writes(workspace, there)[refused]
    good = [write(stream_of(workspace), Noted("g"), key=f"good {n}") for n in range(10)]
    with pytest.raises(error):
        await store.append_bulk([*good[:5], bad, *good[5:]])
    assert await store.head(0) == head
    assert await store.find_idempotent(workspace, "good 1") is None
    await store.append_bulk(good)
    assert texts(await store.read_stream(there)) == ["1", "2"]
    await assert_whole(store)


async def test_a_chunk_that_was_refused_leaves_the_chunks_before_it(
    store: EventStore, workspace: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "CHUNK_EVENTS_MAX", 10)
    await store.append(write(stream_of(workspace), Noted("a"), key="17"))
    writes = [write(stream_of(workspace), Noted("b"), key=str(n)) for n in range(30)]
    with pytest.raises(DuplicateAppend):
        await store.append_bulk(writes)
    found = [await store.find_idempotent(workspace, str(n)) is not None for n in range(30)]
    assert found == [n < 10 or n == 17 for n in range(30)]


async def test_writes_of_one_call_that_meet_are_refused_as_a_whole(store: EventStore, workspace: UUID) -> None:
    stream = stream_of(workspace)
    head = await store.head(0)
    for pair in (
        [write(stream, Noted("a")), write(stream, Noted("b"))],
        [write(stream_of(workspace), Noted("a"), key="same") for _ in range(2)],
        [
            write(one, Noted("a"), claims=(Claim(kind="email", value="same", holder=one.id),))
            for one in (stream_of(workspace), stream_of(workspace))
        ],
    ):
        with pytest.raises(Exception):  # noqa: B017  # which one is not promised; that nothing is written is
            await store.append_bulk(pair)
        assert await store.head(0) == head


async def test_bulk_takes_releases_and_moves_claims(store: EventStore, workspace: UUID) -> None:
    streams = [stream_of(workspace) for _ in range(3)]
    values = ["released", "moved", "kept"]
    await store.append_bulk(
        [
            write(s, Noted("a"), claims=(Claim(kind="email", value=v, holder=s.id),))
            for s, v in zip(streams, values, strict=True)
        ]
    )
    new = stream_of(workspace)
    await store.append_bulk([
        write(
            streams[0], Noted("b"), expected=1,
            claims=(Claim(kind="email", value="released", holder=streams[0].id, take=False),),
        ),
        write(new, Noted("a"), claims=(
            Claim(kind="email", value="moved", holder=streams[1].id, take=False),
            Claim(kind="email", value="moved", holder=new.id),
        )),
        write(streams[2], Noted("b"), expected=1, claims=(
            Claim(kind="email", value="kept", holder=streams[2].id, take=False),
            Claim(kind="email", value="kept", holder=streams[2].id),
        )),
    ])  # fmt: skip
    assert await store.find_claim(workspace, "email", "released") is None
    assert await store.find_claim(workspace, "email", "moved") == new.id
    assert await store.find_claim(workspace, "email", "kept") == streams[2].id


async def test_live_commands_get_their_turn_between_chunks(
    database: str, open_store: OpenStore, workspace: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "CHUNK_EVENTS_MAX", 100)
    store = await open_store(database)
    writes = [write(stream_of(workspace), Noted("b")) for _ in range(3_000)]
    importing = asyncio.create_task(store.append_bulk(writes))
    await until(lambda: store.head(0), what="the first chunk")
    live: list[Appended] = []
    while not importing.done():
        live.append(await store.append(write(stream_of(workspace), Noted("live"))))
    answers = await importing
    assert sum(answer.last_position < answers[-1].last_position for answer in live) >= 3
    assert await store.head(0) == 3_000 + len(live)
    await assert_whole(store)


async def test_a_bulk_append_is_announced_and_observed(database: str, open_store: OpenStore, workspace: UUID) -> None:
    seen: list[tuple[Any, ...]] = []

    class Observer:
        def committed(self, *figures: Any) -> None:
            seen.append(figures)

    store = await open_store(database, observer=Observer())
    heard: list[str] = []
    async with superuser(database) as listener:
        await listener.add_listener("rollbook_log", lambda *said: heard.append(str(said[3])))
        await store.append_bulk([write(stream_of(workspace), Noted("a"), Noted("b")) for _ in range(10)])
        await until(lambda: "0 20" in heard, what="the announcement")
    assert [(lane, commands, events, last) for lane, commands, events, _, last in seen] == [(0, 10, 20, 20)]


@pytest.mark.parametrize("seed", range(3))
async def test_random_bulk_chunks_are_as_the_model_says(
    database: str, open_store: OpenStore, seed: int, workspace: UUID
) -> None:
    """A chunk of one write is accepted or refused exactly as an append would be."""
    store = await open_store(database)
    model, commands = Model(), Commands(seed, workspace)
    for number in range(120):
        command = commands.next(model)
        if any(part.expected_version == ANY_VERSION for part in command.streams):
            continue
        expected = model.decide(command)
        try:
            await store.append_bulk([command])
        except (DuplicateAppend, WrongExpectedVersion, ClaimTaken) as error:
            name = {DuplicateAppend: "duplicate", WrongExpectedVersion: "conflict", ClaimTaken: "claim"}[type(error)]
        else:
            name = Verdict("ok").name
        assert name == expected.name, f"seed {seed}, command {number}: {command}"
    await assert_whole(store)
    for (workspace_id, kind, value), holder in model.claims.items():
        assert await store.find_claim(workspace_id, kind, value) == holder


def total(answers: Sequence[Appended]) -> int:
    return sum(answer.event_count for answer in answers)


async def test_a_command_larger_than_a_chunk_goes_alone(store: EventStore, workspace: UUID) -> None:
    big = write(stream_of(workspace), *(Counted(n) for n in range(2_500)))
    small = [write(stream_of(workspace), Counted(n)) for n in range(10)]
    answers = await store.append_bulk([*small[:5], big, *small[5:]])
    assert total(answers) == 2_510
    assert len(await store.read_stream(big.streams[0].stream)) == 2_500
    # The same by the ordinary way.
    appended = await store.append(write(stream_of(workspace), *(Counted(n) for n in range(2_500))))
    assert appended.event_count == 2_500
    await assert_whole(store)
