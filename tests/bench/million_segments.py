"""Segments over a million contacts: how soon an event is told, also while a segment of everybody is being filled.

The projector is a process of its own, as it is in an installation; API and relay share this one. What a run leaves in
the log (segments, tags) stays in a folder that is kept, and is not made again.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid5

import asyncpg

from contacts.segment.commands import CreateSegment
from contacts.segment.refusals import SegmentAlreadyExists
from contacts.workspace.bootstrap import bootstrap
from contacts.workspace.keys import make_key
from contacts_api.app import create_app
from contacts_api.server import listen, serving
from contacts_api.services import open_services
from contacts_bridge.broker import Broker
from contacts_bridge.definitions import ensure_stream
from contacts_bridge.segments import feed
from contacts_bridge.segments.feed import segments_stream
from contacts_bridge.segments.message import Change, FirstPlace, Place
from eventstore.envelope import Metadata
from rollbook.embedded.nats import Nats
from rollbook.people import TAGS
from servicekit.settings import Settings
from tests.bench.harness import figures
from tests.bench.million_data import SECRET, WORKSPACE
from tests.bench.segments import Heard, listening, measure_entered, measure_late, relaying
from tests.integration.api.conftest import Api, Tenant

SEGMENTS: Final = 200
COUNTRIES: Final = ("DE", "US", "GB", "FR", "BR", "ES", "IT", "PL")
PROBES: Final = 400
METADATA: Final = Metadata(actor="system:bench", source="manual")
LAST_CHANGE: Final = "SELECT * FROM rm_segment.change WHERE lane = 0 ORDER BY at DESC, position DESC LIMIT 1"
LAST_FIRST: Final = (
    "SELECT * FROM rm_segment.first_change WHERE lane = 0"
    " ORDER BY defined_at DESC, defined_position DESC, contact_id DESC, segment_id DESC, at DESC LIMIT 1"
)


class Told(NamedTuple):
    """One figure of segments, in milliseconds."""

    name: str
    p50: float
    p99: float
    goal_ms: float | None
    note: str


def definitions() -> dict[str, Any]:
    """As they are in practice, over the people that are seeded; by the names of their segments."""
    found: dict[str, Any] = {"probe": {"field": "tags", "op": "has_any", "value": ["probe"]}}
    for number in range(SEGMENTS - 3):
        country = {"field": "country", "op": "eq", "value": COUNTRIES[number % len(COUNTRIES)]}
        tag = {"field": "tags", "op": "has_any", "value": [TAGS[number % len(TAGS)]]}
        clicks = {"activity": "message.clicked", "within": f"{1 + number % 30}d", "count": {"op": "gte", "value": 2}}
        orders = {"order": {"aggregate": "sum", "property": "amount"}, "op": "gte", "value": number}
        silent = {"not": {"field": "last_interaction_at", "op": "within_last", "value": f"{1 + number % 30}d"}}
        kinds = ([country, tag], [country, clicks], [orders, country, tag], [silent, country, tag])
        found[f"segment {number}"] = {"all": kinds[number % 4]}
    found["busy"] = {"field": "tags", "op": "has_any", "value": ["busy"]}
    found["window"] = {"activity": "message.delivered", "within": "1min"}
    return found


def id_of(name: str) -> UUID:
    return uuid5(WORKSPACE, f"bench segment {name}")


async def run(dsn: str, folder: Path) -> list[Told]:
    broker = Nats(folder)
    await asyncio.to_thread(broker.start)
    try:
        async with _projecting(dsn), _api(dsn) as tenant:
            made = await _make(tenant)
            filled_s = await _filled(dsn)
            await _begin_at_the_end(dsn, broker.url)
            subjects = [f"rollbook.segments.v1.{WORKSPACE}.{id_of(name)}.>" for name in ("probe", "busy", "window")]
            async with relaying(dsn, broker.url), listening(broker.url, *subjects) as heard:
                return await _measure(dsn, tenant, heard, f"{made} filled in {filled_s:,.0f} s" if made else "")
    finally:
        await asyncio.to_thread(broker.stop)


async def _measure(dsn: str, tenant: Tenant, heard: Heard, note: str) -> list[Told]:
    contacts = await _strangers(dsn, "probe")
    entered = await measure_entered(tenant, contacts, str(id_of("probe")), heard)
    late = await measure_late(tenant, contacts, str(id_of("window")), heard)
    everybody = f"everybody {time.time():.0f}"
    strangers = await _strangers(dsn, "busy")
    started = time.perf_counter()
    await _create(tenant, everybody, {"field": "created_at", "op": "exists"})
    busy = await measure_entered(tenant, strangers, str(id_of("busy")), heard, "busy")
    under_way = await _is_filling(dsn)
    await _filled(dsn)
    seconds = time.perf_counter() - started
    during = "all the while" if under_way else "which ended before the last of them"
    return [
        _told(f"event → entered on NATS, {SEGMENTS} segments", entered, 1_000, note),
        _told("window over → left on NATS", late, 5_000, ""),
        _told(
            "event → entered while a segment of everybody is filled", busy, 1_000,
            f"filled within {seconds:,.0f} s, {during}",
        ),
    ]  # fmt: skip


def _told(name: str, seconds: list[float], goal_ms: float | None, note: str) -> Told:
    found = figures(seconds, 0.0)
    return Told(name, found.p50_ms, found.p99_ms, goal_ms, note)


@contextlib.asynccontextmanager
async def _projecting(dsn: str) -> AsyncIterator[None]:
    environment = {
        **os.environ, "ROLLBOOK_DATABASE_URL": dsn, "ROLLBOOK_MASTER_KEY": base64.b64encode(SECRET).decode(),
        "ROLLBOOK_METRICS_PORT": "0",
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "contacts_projector", env=environment, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@contextlib.asynccontextmanager
async def _api(dsn: str) -> AsyncIterator[Tenant]:
    settings = Settings(database_url=dsn, master_key=base64.b64encode(SECRET).decode(), position_wait_s=60.0)
    sock = listen("127.0.0.1", 0)
    async with open_services(settings) as services, serving(create_app(services), sock, grace_s=1):
        key = make_key(WORKSPACE).text
        await bootstrap(services.store, services.workspace_handler, key=key, workspace_id=WORKSPACE)
        api = Api(f"http://127.0.0.1:{sock.getsockname()[1]}", services)
        try:
            yield Tenant(api, WORKSPACE, key)
        finally:
            await api.close_clients()


async def _make(tenant: Tenant) -> int:
    """The segments that are not there yet; how many these were."""
    return sum([await _create(tenant, name, filter_) for name, filter_ in definitions().items()])


async def _create(tenant: Tenant, name: str, filter_: Any) -> bool:
    command = CreateSegment(workspace_id=WORKSPACE, segment_id=id_of(name), name=name, filter=filter_)
    try:
        await tenant._api.services.segment_handler.execute(command, metadata=METADATA)
    except SegmentAlreadyExists:
        return False
    return True


async def _filled(dsn: str) -> float:
    """Seconds until the read model is at the head and nothing is being filled."""
    started = time.perf_counter()
    connection = await asyncpg.connect(dsn)
    try:
        head = await connection.fetchval("SELECT max(last_position) FROM log.batches WHERE lane = 0")
        while True:
            reached = await connection.fetchval(
                "SELECT min(c.position) FROM projector.checkpoints AS c"
                " JOIN projector.projections AS p ON p.name = c.name AND p.build = c.build AND p.state = 'live'"
                " WHERE c.name = 'segment' AND c.lane = 0"
            )
            if reached >= head and not await _is_filling(dsn):
                return time.perf_counter() - started
            await asyncio.sleep(0.5)
    finally:
        await connection.close()


async def _is_filling(dsn: str) -> bool:
    connection = await asyncpg.connect(dsn)
    try:
        filling: bool = await connection.fetchval("SELECT EXISTS (SELECT FROM rm_segment.filling WHERE NOT is_done)")
        return filling
    finally:
        await connection.close()


async def _strangers(dsn: str, tag: str) -> list[str]:
    """Contacts without a tag that activity is taken for, from all over."""
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch(
            "SELECT contact_id FROM rm_contact.contact"
            " WHERE workspace_id = $1 AND deleted_at IS NULL AND NOT blocked AND NOT tags @> ARRAY[$2]"
            " ORDER BY random() LIMIT $3",
            WORKSPACE, tag, PROBES,
        )  # fmt: skip
    finally:
        await connection.close()
    return [str(row["contact_id"]) for row in rows]


async def _begin_at_the_end(dsn: str, url: str) -> None:
    """Tells the last change of each kind, so that the relay begins behind it: the first members are no part of this."""
    connection = await asyncpg.connect(dsn)
    try:
        rows = [await connection.fetchrow(statement) for statement in (LAST_CHANGE, LAST_FIRST)]
    finally:
        await connection.close()
    client = await Broker.connect(url, name="bench")
    try:
        await ensure_stream(client, segments_stream(max_bytes=1 << 28))
        batch = [_change(row) for row in rows if row is not None]
        if batch:
            # A stream that is kept has them already, under other ids.
            await feed.add(client, batch, await feed.read_tail(client), again=True)
    finally:
        await client.close()


def _change(row: asyncpg.Record) -> Change:
    place = Place(row["at"], row["position"], row["segment_id"], row["contact_id"])
    first = None
    if "defined_at" in row:
        first = FirstPlace(row["defined_at"], row["defined_position"], place.contact_id, place.segment_id, place.at)
    return Change(0, place, row["workspace_id"], row["entered"], row["cause"], row["event_id"], first)
