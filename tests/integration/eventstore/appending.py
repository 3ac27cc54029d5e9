"""What tests of appending share: many writes at once, the lane held up, the lane proved whole. No tests here."""

from __future__ import annotations

import asyncio

import asyncpg

from eventstore.envelope import Appended, Write
from eventstore.errors import (
    ClaimTaken,
    DuplicateAppend,
    WrongExpectedVersion,
)
from eventstore.store import EventStore
from eventstore.verify import verify_chain
from tests.support.model import Verdict
from tests.support.waiting import until

LANE_LOCK = "SELECT pg_advisory_lock(1382836331, 0)"
LANE_UNLOCK = "SELECT pg_advisory_unlock(1382836331, 0)"
SOON_S = 10


def verdict_of(answer: Appended | BaseException) -> Verdict:
    match answer:
        case Appended():
            return Verdict("ok")
        case DuplicateAppend():
            return Verdict("duplicate", (answer.same_request,))
        case WrongExpectedVersion():
            return Verdict("conflict", (answer.stream.id, answer.actual))
        case ClaimTaken():
            return Verdict("claim", (answer.kind, answer.holder))
    raise answer


async def append_all(store: EventStore, *writes: Write) -> list[Appended | BaseException]:
    """Sent at once, so that they meet in a batch."""
    async with asyncio.timeout(SOON_S):
        return await asyncio.gather(*map(store.append, writes), return_exceptions=True)


async def assert_whole(store: EventStore) -> None:
    """Positions and versions are dense and the chain fits."""
    for lane in store.lanes:
        report = await verify_chain(store.pool, lane)
        assert (report.first_bad_position, report.reason) == (None, None)
        assert report.events == await store.head(lane)


async def waiting_for_lane(connection: asyncpg.Connection, sessions: int) -> None:
    waiting = "SELECT count(*) >= $1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    await until(lambda: connection.fetchval(waiting, sessions), what=f"{sessions} sessions wait for the lane")
