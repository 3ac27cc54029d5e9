"""What goes into one commit batch: in order, within its limits, and nothing that shares anything."""

from __future__ import annotations

from collections import deque
from typing import Any
from uuid import UUID, uuid4

import pytest

from eventstore import batch
from eventstore.batch import Prepared, take
from eventstore.envelope import ANY_VERSION, Claim, Stream, StreamWrite, Write

WORKSPACE = uuid4()


def command(
    *streams: Stream, key: str | None = None, claims: tuple[tuple[str, bytes, UUID, bool], ...] = (), events: int = 1,
    payload: bytes = b"x", workspace: UUID = WORKSPACE, expected: int = 0,
) -> Prepared:  # fmt: skip
    parts = tuple(
        StreamWrite(stream=stream, expected_version=expected, events=("event",) * events)
        for stream in streams or (new(),)
    )
    rows: list[Any] = [[(uuid4(), "t", 1, b"", payload)] * events for _ in parts]
    write = Write(workspace_id=workspace, streams=parts, idempotency_key=key)
    return Prepared(write, rows, list(claims), [])


def new() -> Stream:
    return Stream(WORKSPACE, "note", uuid4())


def drained(queue: deque[Prepared]) -> list[list[Prepared]]:
    batches = []
    while queue:
        batches.append(take(queue))
    return batches


async def test_commands_that_share_nothing_go_together_in_order() -> None:
    commands = [command() for _ in range(20)]
    queue = deque(commands)
    assert take(queue) == commands
    assert not queue


async def test_commands_of_one_stream_go_one_per_batch_in_order() -> None:
    hot = new()
    commands = [command(hot) for _ in range(3)]
    others = [command() for _ in range(3)]
    queue = deque([commands[0], others[0], commands[1], others[1], commands[2], others[2]])
    assert drained(queue) == [[commands[0], *others], [commands[1]], [commands[2]]]


async def test_the_same_id_in_another_category_is_another_stream() -> None:
    note = new()
    commands = [command(note), command(Stream(WORKSPACE, "list", note.id))]
    assert take(deque(commands)) == commands


async def test_commands_that_share_a_key_or_a_claim_or_any_of_their_streams_do_not_go_together() -> None:
    one, two, three = new(), new(), new()
    claim = ("email", b"hmac", uuid4(), True)
    for pair in (
        [command(key="same"), command(key="same")],
        [command(claims=(claim,)), command(claims=(claim,))],
        [command(claims=(claim,)), command(claims=((*claim[:2], uuid4(), False),))],
        [command(one, two), command(two, three)],
    ):
        assert drained(deque(pair)) == [[pair[0]], [pair[1]]]


async def test_commands_that_add_to_a_stream_at_any_version_go_together_and_so_do_those_that_only_look() -> None:
    hot = new()
    adding = [command(hot, expected=ANY_VERSION, key=f"k-{n}") for n in range(3)]
    looking = [command(hot, events=0, expected=5) for _ in range(3)]
    deciding = [command(hot, expected=5), command(hot, expected=6)]
    for together in (adding, looking):
        assert drained(deque(together)) == [together]
    queue = deque([*adding[:2], looking[0], adding[2], *looking[1:], *deciding])
    assert drained(queue) == [adding[:2], [looking[0]], [adding[2]], looking[1:], [deciding[0]], [deciding[1]]]


async def test_a_command_that_names_a_stream_twice_shares_it_with_nobody() -> None:
    hot = new()
    pair = [command(hot, hot, expected=ANY_VERSION, key=key) for key in ("a", "b")]
    assert drained(deque(pair)) == [[pair[0]], [pair[1]]]


async def test_the_same_key_in_two_workspaces_is_two_keys() -> None:
    commands = [command(key="same"), command(key="same", workspace=uuid4())]
    assert take(deque(commands)) == commands


async def test_what_waits_is_not_overtaken_by_what_it_shares_something_with() -> None:
    """A waits behind the first; B shares with A only, and must not slip in before it."""
    hot, side = new(), new()
    first, a, b = command(hot), command(hot, side), command(side)
    assert drained(deque([first, a, b])) == [[first], [a], [b]]


async def test_a_batch_ends_at_its_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "EVENTS_MAX", 10)
    monkeypatch.setattr(batch, "BYTES_MAX", 1_000)
    assert [len(one) for one in drained(deque(command(events=4) for _ in range(7)))] == [3, 3, 1]
    assert [len(one) for one in drained(deque(command(payload=b"x" * 400) for _ in range(7)))] == [3, 3, 1]
    assert len(take(deque(command() for _ in range(5)), 2)) == 2
    # What is larger than any limit still goes, alone.
    assert [len(one) for one in drained(deque([command(events=50), command(payload=b"x" * 5_000)]))] == [1, 1]


async def test_commands_whose_callers_went_away_are_dropped() -> None:
    hot = new()
    gone, waiting = command(hot), command(hot)
    gone.future.cancel()
    queue = deque([gone, waiting])
    assert take(queue) == [waiting]
    assert not queue
    lost = command()
    lost.future.cancel()
    queue = deque([lost])
    assert take(queue) == []
    assert not queue


async def test_claims_and_keys_are_counted_with_their_command() -> None:
    holder = uuid4()
    claimed = command(new(), new(), key="k", claims=(("email", b"h", holder, True),), events=2)
    lane, *columns = batch.arrays(3, [command(), claimed])
    assert lane == 3
    lengths = [len(list(column)) for column in columns]
    assert lengths[:4] == [2] * 4  # commands
    assert lengths[4:11] == [3] * 7  # streams
    assert lengths[11:17] == [5] * 6  # events
    assert lengths[17:22] == [1] * 5  # claims
    assert lengths[22:] == [0] * 3  # keys
    assert list(columns[17]) == [2]


def test_a_claim_is_taken_unless_it_says_otherwise() -> None:
    assert Claim(kind="email", value="x", holder=uuid4()).take
