"""What a reader of the log waits for: announcements, and another look where one was not found."""

from __future__ import annotations

import asyncio
import time

import pytest

from eventstore.signals import AGAIN_FIRST_S, LaneSignal

POLL_S = 30.0


async def test_an_announcement_ends_the_wait() -> None:
    signal = LaneSignal(0)
    waiting = asyncio.create_task(signal.wait(7, POLL_S))
    await asyncio.sleep(0)
    signal.tell(7)
    await asyncio.sleep(0)
    assert not waiting.done()
    signal.tell(8)
    await asyncio.wait_for(waiting, POLL_S / 2)


async def test_what_was_announced_and_not_found_is_looked_for_again_long_before_the_poll() -> None:
    """The read of the log that follows an announcement may be one that another reader began before the commit."""
    signal = LaneSignal(0)
    signal.tell(8)
    await signal.wait(7, POLL_S)
    async with asyncio.timeout(POLL_S / 2):
        await signal.wait(7, POLL_S)


def test_who_is_where_the_lane_was_said_to_end_need_not_look() -> None:
    signal = LaneSignal(0)
    signal.tell(8)
    assert [signal.ends_at(position) for position in (7, 8, 9)] == [False, True, False]


async def test_a_false_announcement_costs_few_looks() -> None:
    signal = LaneSignal(0)
    signal.tell(2**63)
    looks, poll_s, end = 0, 64 * AGAIN_FIRST_S, time.monotonic() + 256 * AGAIN_FIRST_S
    while time.monotonic() < end:
        await signal.wait(7, poll_s)
        looks += 1
    # At once, then after 1, 2, 4 … 64 times the first pause, then as often as the poll.
    assert looks <= 1 + 7 + 256 / 64


@pytest.mark.parametrize("found", [8, 9])
async def test_what_was_found_is_not_looked_for_again(found: int) -> None:
    signal = LaneSignal(0)
    signal.tell(8)
    await signal.wait(7, POLL_S)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(8 * AGAIN_FIRST_S):
            await signal.wait(found, POLL_S)
