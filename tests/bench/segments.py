"""Segments as they happen: from an event's acknowledgement to `entered` in JetStream, and how late a window passes.

Projector, clock, relay and API share one process here, with 200 segments over a few thousand contacts; every event is
looked at by whichever segments it can concern.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import asyncpg
import msgspec
import nats

from contacts_bridge.segments.feed import segments_stream
from contacts_bridge.segments.message import SegmentMessage
from contacts_bridge.segments.relay import SegmentRelay
from eventstore.migrate import migrate_async
from rollbook.embedded.nats import Nats
from tests.bench.harness import QUICK, create_database, figures, own_postgres, print_goal, print_table
from tests.integration.api.conftest import Tenant, running_api

SEGMENTS: Final = 200
CONTACTS: Final = 300 if QUICK else 3_000
PROBES: Final = 40 if QUICK else 400
#: Events between two probes that move nobody into the probe's segment.
OTHERS: Final = 4
RATE_PER_S: Final = 50
WINDOWS: Final = 10 if QUICK else 60
ENTERED_GOAL_MS: Final = 1_000.0
WINDOW_GOAL_MS: Final = 5_000.0
COUNTRIES: Final = ("DE", "AT", "CH", "PL", "FR")


def definitions() -> list[Any]:
    """As they are in practice: fields, tags, activity with and without windows, nested."""
    found: list[Any] = [{"field": "tags", "op": "has_any", "value": ["probe"]}]
    for number in range(SEGMENTS - 2):
        country = {"field": "country", "op": "eq", "value": COUNTRIES[number % 5]}
        tag = {"field": "tags", "op": "has_any", "value": [f"tag {number % 17}"]}
        clicks = {"activity": "message.clicked", "within": f"{1 + number % 90}d", "count": {"op": "gte", "value": 2}}
        orders = {"order": {"aggregate": "sum", "property": "amount"}, "op": "gte", "value": number}
        silent = {"not": {"field": "last_interaction_at", "op": "within_last", "value": f"{1 + number % 60}d"}}
        found.append(
            ({"all": [country, tag]}, {"any": [country, clicks]}, {"all": [orders, tag]}, {"all": [silent, country]})[
                number % 4
            ]
        )
    return [*found, {"activity": "message.delivered", "within": "1min"}]


async def run() -> bool:
    with own_postgres() as server, tempfile.TemporaryDirectory(prefix="rollbook-bench-") as folder:
        dsn = await create_database(server, "segments")
        await migrate_async(dsn)
        broker = Nats(Path(folder))
        await asyncio.to_thread(broker.start)
        try:
            async with running_api(dsn) as api, relaying(dsn, broker.url), listening(broker.url) as heard:
                tenant = await api.tenant()
                contacts, probe, window = await _fill(tenant)
                await _level(dsn, heard)
                entered = await measure_entered(tenant, contacts, probe, heard)
                late = await measure_late(tenant, contacts, window, heard)
        finally:
            await asyncio.to_thread(broker.stop)
    return _report(entered, late)


@asynccontextmanager
async def relaying(dsn: str, url: str) -> AsyncIterator[None]:
    pool = await asyncpg.create_pool(dsn, min_size=1, max_size=2, server_settings={"role": "rollbook_projector"})
    task = asyncio.create_task(SegmentRelay(pool, nats_url=url, definition=segments_stream(max_bytes=1 << 28)).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        pool.terminate()


class Heard:
    """When each message came, by segment, contact and what happened."""

    def __init__(self) -> None:
        self._at: dict[tuple[str, str, str], asyncio.Future[float]] = {}
        self.count = 0

    def told(self, message: SegmentMessage) -> None:
        self.count += 1
        change = "entered" if "entered" in message.type else "left"
        future = self.when(str(message.data.segment), str(message.data.contact), change)
        if not future.done():
            future.set_result(time.time())

    def when(self, segment: str, contact: str, change: str) -> asyncio.Future[float]:
        return self._at.setdefault((segment, contact, change), asyncio.get_running_loop().create_future())


@asynccontextmanager
async def listening(url: str, *subjects: str) -> AsyncIterator[Heard]:
    heard = Heard()
    client = await nats.connect(url)

    async def take(message: Any) -> None:
        if message.data:
            heard.told(msgspec.json.decode(message.data, type=SegmentMessage))

    for subject in subjects or ("rollbook.segments.v1.>",):
        await client.subscribe(subject, cb=take)
    try:
        yield heard
    finally:
        await client.close()


async def _fill(tenant: Tenant) -> tuple[list[str], str, str]:
    contacts = []
    for start in range(0, CONTACTS, 50):
        bodies = [
            {"email": f"c{n}@example.com", "country": COUNTRIES[n % 5], "tags": [f"tag {n % 17}"]}
            for n in range(start, min(start + 50, CONTACTS))
        ]
        answers = await asyncio.gather(*(tenant.owner.post("/v1/contacts", json=body) for body in bodies))
        contacts += [answer.json()["id"] for answer in answers]
    made = []
    for number, filter_ in enumerate(definitions()):
        answer = await tenant.owner.post("/v1/segments", json={"name": f"S {number}", "filter": filter_})
        assert answer.status_code == 201, answer.text
        made.append(answer)
    headers = {"Rollbook-Min-Position": made[-1].headers["Rollbook-Position"]}
    while (await tenant.owner.get("/v1/segments", headers=headers)).status_code != 200:
        await asyncio.sleep(0.1)
    return contacts, made[0].json()["id"], made[-1].json()["id"]


async def _level(dsn: str, heard: Heard) -> None:
    """Until everybody was told of who is in the new segments."""
    connection = await asyncpg.connect(dsn)
    try:
        while heard.count < await connection.fetchval("SELECT count(*) FROM rm_segment.change"):
            await asyncio.sleep(0.1)
    finally:
        await connection.close()


async def _act(tenant: Tenant, contact: str, type_: str, at: datetime, **data: Any) -> None:
    item = {
        "id": str(uuid4()), "source": "bench", "type": type_, "time": at.isoformat(), "contact": {"id": contact},
        "data": data,
    }  # fmt: skip
    answer = await tenant.owner.post("/v1/activity", json={"items": [item]})
    assert answer.json()["counts"]["recorded"] == 1, answer.text


async def measure_entered(
    tenant: Tenant, contacts: list[str], probe: str, heard: Heard, tag: str = "probe"
) -> list[float]:
    """Seconds from the acknowledgement of an edit to the message it causes, while others keep coming."""
    seconds = []
    waiting = []
    for number in range(PROBES):
        began = time.perf_counter()
        contact = contacts[number % len(contacts)]
        answer = await tenant.owner.post(f"/v1/contacts/{contact}/tags", json={"tags": [tag]})
        assert answer.status_code == 200, answer.text
        waiting.append((time.time(), heard.when(probe, contact, "entered")))
        for other in range(OTHERS):
            of = contacts[(number * 7 + other * 31) % len(contacts)]
            await _act(tenant, of, "message.clicked", datetime.now(UTC), channel="email")
        await asyncio.sleep(max(0.0, (1 + OTHERS) / RATE_PER_S - (time.perf_counter() - began)))
    for acknowledged, told in waiting:
        seconds.append(await asyncio.wait_for(told, 60) - acknowledged)
    return seconds


async def measure_late(tenant: Tenant, contacts: list[str], window: str, heard: Heard) -> list[float]:
    """Seconds from the end of a window to the message that says so."""
    ends = {}
    for contact in contacts[:WINDOWS]:
        end = datetime.now(UTC) + timedelta(seconds=15)
        await _act(tenant, contact, "message.delivered", end - timedelta(minutes=1), channel="email")
        ends[contact] = end.timestamp()
    return [await asyncio.wait_for(heard.when(window, each, "left"), 60) - end for each, end in ends.items()]


def _report(entered: list[float], late: list[float]) -> bool:
    measured = {"event acknowledged → entered": entered, "window over → left": late}
    found = {name: figures(seconds, 0.0) for name, seconds in measured.items()}
    rows = [[name, f"{each.p50_ms:.0f}", f"{each.p99_ms:.0f}"] for name, each in found.items()]
    print_table(f"{SEGMENTS} segments, {CONTACTS:,} contacts, {RATE_PER_S} events/s", ["", "p50 ms", "p99 ms"], rows)
    first, second = found.values()
    reached = print_goal("entered, p99", first.p99_ms, ENTERED_GOAL_MS, at_least=False, unit="ms")
    return print_goal("left, p99", second.p99_ms, WINDOW_GOAL_MS, at_least=False, unit="ms") and reached
