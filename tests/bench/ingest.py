"""Inbound messages a second, applied durably, beside what nats-py itself can fetch and acknowledge.

Everything shares the machine: PostgreSQL with fsync, nats-server, and our process or processes. The peer runs against
the same server in the same run, with the same messages.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import tempfile
import time
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import uvloop
from nats.js.api import AckPolicy, ConsumerConfig, StreamConfig

from contacts_bridge.inbox.ingest import Ingest
from contacts_bridge.inbox.metrics import InboxFigures
from contacts_bridge.inbox.process import open_recorder
from eventstore.migrate import migrate_async
from rollbook.embedded.nats import Nats
from servicekit.settings import Settings
from tests.bench.harness import QUICK, create_database, own_postgres, print_goal, print_table
from tests.integration.bridge.inbox_rig import MASTER_KEY, InboxRig, open_rig, plain

MESSAGES: Final = 4_000 if QUICK else 40_000
CONTACTS: Final = 200 if QUICK else 2_000
PROCESSES: Final = (1, 2)
STREAM_BYTES: Final = 512 << 20
INBOX_GOAL: Final = 10_000.0
FETCH: Final = 1_000


async def run() -> bool:
    with own_postgres() as server, own_nats() as nats_server:
        dsn = await create_database(server, "ingest")
        await migrate_async(dsn)
        async with open_rig(dsn, nats_server.url, projecting=False) as rig:
            await rig.begin()
            for start in range(0, CONTACTS, 200):
                await asyncio.gather(*(rig.create(external_id=f"c-{n}") for n in range(start, start + 200)))
            await rig.define()
            peer = await fetch_and_ack(rig)
            rates = {count: await ingest(rig, count) for count in PROCESSES}
    return _report(peer, rates)


@contextlib.contextmanager
def own_nats() -> Any:
    with tempfile.TemporaryDirectory(prefix="rollbook-bench-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)
        started = Nats(Path(folder) / "nats", sync_always=False)
        started.start()
        try:
            yield started
        finally:
            started.stop()


# -- in ---------------------------------------------------------------------------------------------------------------


def messages(prefix: str) -> list[tuple[str, bytes, None]]:
    """As a mailer sends them: reads and clicks of people it knows by their external ids."""
    kinds = ("message.read", "message.clicked")
    data = {"channel": "email", "message_name": "Spring", "language": "de", "url": "https://shop.example/spring"}
    reads = {name: value for name, value in data.items() if name != "url"}
    return [
        plain(
            f"{prefix}-{n}", kinds[n % 2], contact={"external_id": f"c-{n * 7 % CONTACTS}"},
            data=data if n % 2 else reads,
        )
        for n in range(MESSAGES)
    ]  # fmt: skip


async def fetch_and_ack(rig: InboxRig) -> float:
    """nats-py alone: a pull subscription that fetches and acknowledges the same messages and drops them."""
    async with rig.client() as client:
        js = client.jetstream()
        await js.add_stream(StreamConfig(name="PEER", subjects=["peer.>"], max_bytes=STREAM_BYTES))
        await _publish_all(js, [(f"peer.{kind}", body) for kind, body, _ in messages("peer")])
        config = ConsumerConfig(ack_policy=AckPolicy.EXPLICIT, max_ack_pending=10_000)
        subscription = await js.pull_subscribe("peer.>", durable="peer", config=config)
        began, left = time.perf_counter(), MESSAGES
        while left:
            for message in await subscription.fetch(FETCH, timeout=5):
                await message.ack()
                left -= 1
        await client.flush()
        rate = MESSAGES / (time.perf_counter() - began)
        await js.delete_stream("PEER")
    return rate


async def ingest(rig: InboxRig, processes: int) -> float:
    """From an inbox that is full to one that is empty."""
    async with rig.client() as client:
        js = client.jetstream()
        await _publish_all(
            js, [(rig.subject(kind), body) for kind, body, _ in messages(f"{processes}-{uuid4().hex[:6]}")]
        )
        context = multiprocessing.get_context("spawn")
        ready, go = context.Semaphore(0), context.Event()
        started = [
            context.Process(target=_ingesting, args=(rig.database, rig.nats_url, ready, go), daemon=True)
            for _ in range(processes)
        ]
        for each in started:
            each.start()
        for _ in started:
            await asyncio.to_thread(ready.acquire)
        before = await rig.store.head(0)
        began = time.perf_counter()
        go.set()
        while (await js.stream_info("ROLLBOOK_INBOX")).state.messages:
            await asyncio.sleep(0.02)
        rate = MESSAGES / (time.perf_counter() - began)
        for each in started:
            each.kill()
            each.join()
    assert await rig.store.head(0) - before == MESSAGES, "each is one event"
    return rate


def _ingesting(database: str, nats_url: str, ready: Any, go: Any) -> None:
    async def run() -> None:
        settings = Settings(database_url=database, nats_url=nats_url, master_key=MASTER_KEY)
        async with open_recorder(settings) as recorder:
            taking = Ingest(recorder, nats_url=nats_url, figures=InboxFigures(), max_bytes=STREAM_BYTES)
            ready.release()
            await asyncio.to_thread(go.wait)
            await taking.run()

    uvloop.run(run())


async def _publish_all(js: Any, wanted: list[tuple[str, bytes]]) -> None:
    for start in range(0, len(wanted), FETCH):
        await asyncio.gather(*(js.publish(subject, body) for subject, body in wanted[start : start + FETCH]))


# -- report -----------------------------------------------------------------------------------------------------------


def _report(peer: float, rates: dict[int, float]) -> bool:
    print_table(
        f"{MESSAGES:,} inbound messages, {CONTACTS:,} contacts",
        ("", "messages/s", "of nats-py"),
        [
            ("nats-py fetch and ack, nothing done", f"{peer:,.0f}", "1.00 ×"),
            *(
                (f"applied durably, {count} process{'es' if count > 1 else ''}", f"{rate:,.0f}", f"{rate / peer:.2f} ×")
                for count, rate in rates.items()
            ),
        ],
    )
    return print_goal("inbound, applied durably", max(rates.values()), INBOX_GOAL, unit="messages/s")
