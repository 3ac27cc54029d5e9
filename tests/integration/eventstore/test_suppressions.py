"""Suppressions written in the append: with their events or not at all, one row per place, right from the answer."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from eventstore.envelope import NO_STREAM, Appended, Stream, StreamWrite, Suppression, Write
from eventstore.errors import DuplicateAppend, WrongExpectedVersion
from eventstore.store import EventStore
from eventstore.suppressions import SuppressionRow, find_suppressions
from tests.support.sample import Noted, stream_of, write

EVERYBODY = UUID(int=0)
EARLIER = datetime(2026, 1, 1, tzinfo=UTC)


def suppression(workspace: UUID, address: bytes, status: str | None = "unsubscribed", **fields: Any) -> Suppression:
    place = {"scope_id": workspace, "holder_id": workspace, "kind": "consent", "channel": "email"}
    return Suppression(address=address, status=status, **{**place, **fields})


def suppressing(stream: Stream, *suppressions: Suppression, expected: int = NO_STREAM, events: int = 1) -> Write:
    notes = tuple(Noted(str(number)) for number in range(events))
    return Write(
        workspace_id=stream.workspace_id,
        streams=(StreamWrite(stream=stream, expected_version=expected, events=notes),),
        suppressions=suppressions,
    )


async def rows_of(store: EventStore, workspace: UUID, *addresses: bytes) -> list[SuppressionRow]:
    return (await find_suppressions(store, workspace, EVERYBODY, addresses)).rows


async def test_a_row_stands_from_the_answer_on(store: EventStore, workspace: UUID) -> None:
    row = suppression(workspace, b"ann", cause="api")
    appended = await store.append(suppressing(stream_of(workspace), row, events=3))
    found = await find_suppressions(store, workspace, EVERYBODY, [b"nobody", b"ann"])
    assert found.position == appended.last_position
    assert found.rows == [
        SuppressionRow(
            2, "consent", "email", "", workspace, "unsubscribed", "api", appended.recorded_at, appended.last_position
        )
    ]


async def test_a_later_row_of_the_same_place_replaces_the_earlier(store: EventStore, workspace: UUID) -> None:
    stream = stream_of(workspace)
    await store.append(suppressing(stream, suppression(workspace, b"ann")))
    await store.append(suppressing(stream, suppression(workspace, b"ann", None, cause=None), expected=1))
    (row,) = await rows_of(store, workspace, b"ann")
    assert (row.status, row.cause, row.since) == (None, None, None)


async def test_the_time_given_is_kept(store: EventStore, workspace: UUID) -> None:
    await store.append(suppressing(stream_of(workspace), suppression(workspace, b"ann", since=EARLIER)))
    (row,) = await rows_of(store, workspace, b"ann")
    assert row.since == EARLIER


async def test_rows_of_other_workspaces_are_not_seen_and_those_for_everybody_are(
    store: EventStore, workspace: UUID
) -> None:
    other, address = uuid4(), uuid4().bytes
    for_all = suppression(other, address, "blacklisted", scope_id=EVERYBODY, kind="suppression")
    await store.append(suppressing(stream_of(other), suppression(other, address), for_all))
    assert [(row.status, row.holder_id) for row in await rows_of(store, workspace, address)] == [("blacklisted", other)]
    assert len(await rows_of(store, other, address)) == 2


async def test_commands_of_one_batch_write_their_own_rows_and_the_refused_none(
    store: EventStore, workspace: UUID
) -> None:
    streams = [stream_of(workspace) for _ in range(40)]
    await store.append(write(streams[7], Noted("taken")))
    answers = await asyncio.gather(
        *(
            store.append(suppressing(stream, suppression(workspace, b"%d" % n), events=n % 3 + 1))
            if n % 4 != 1
            else store.append(write(stream, Noted("without")))
            for n, stream in enumerate(streams)
        ),
        return_exceptions=True,
    )
    assert [n for n, answer in enumerate(answers) if isinstance(answer, WrongExpectedVersion)] == [7]
    expected = {n: answer.last_position for n, answer in enumerate(answers) if isinstance(answer, Appended)}
    found = await find_suppressions(store, workspace, EVERYBODY, [b"%d" % n for n in range(40)])
    assert {row.number - 1: row.position for row in found.rows} == {
        n: position for n, position in expected.items() if n % 4 != 1
    }


async def test_a_repeat_of_a_key_writes_nothing(store: EventStore, workspace: UUID) -> None:
    once = Write(workspace_id=workspace, streams=(), idempotency_key="once")
    await store.append(once)
    again = Write(
        workspace_id=workspace, streams=(), idempotency_key="once", suppressions=(suppression(workspace, b"ann"),)
    )
    with pytest.raises(DuplicateAppend):
        await store.append(again)
    assert await rows_of(store, workspace, b"ann") == []


async def test_the_bulk_path_writes_the_same_rows(store: EventStore, workspace: UUID) -> None:
    writes = [suppressing(stream_of(workspace), suppression(workspace, b"%d" % n), events=2) for n in range(700)]
    appended = await store.append_bulk(writes)
    found = await find_suppressions(store, workspace, EVERYBODY, [b"%d" % n for n in range(700)])
    assert [(row.number - 1, row.position, row.since) for row in sorted(found.rows, key=lambda row: row.number)] == [
        (n, answer.last_position, answer.recorded_at) for n, answer in enumerate(appended)
    ]


async def test_a_refused_chunk_of_the_bulk_path_writes_no_row(store: EventStore, workspace: UUID) -> None:
    taken = stream_of(workspace)
    await store.append(write(taken, Noted("taken")))
    writes = [suppressing(stream, suppression(workspace, stream.id.bytes)) for stream in (stream_of(workspace), taken)]
    with pytest.raises(WrongExpectedVersion):
        await store.append_bulk(writes)
    assert await rows_of(store, workspace, *(write.streams[0].stream.id.bytes for write in writes)) == []
