"""Inbound messages a second, applied durably; commit to consumer; the relay. Each beside what nats-py itself can do.

Everything shares the machine: PostgreSQL with fsync, nats-server, and our process or processes. The peers run against
the same server in the same run, with the same messages.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import msgspec
import nats
import uvloop
from nats.js.api import AckPolicy, ConsumerConfig, StreamConfig

from contacts.catalog import CODEC
from contacts.contact.events import ContactDetailsChanged
from contacts_bridge.definitions import events_stream
from contacts_bridge.inbox.ingest import Ingest
from contacts_bridge.inbox.metrics import InboxFigures
from contacts_bridge.inbox.process import open_recorder
from eventstore.envelope import Stream, StreamWrite, Write
from eventstore.migrate import migrate_async
from eventstore.store import EventStore
from rollbook.embedded.nats import Nats
from servicekit.settings import Settings
from tests.bench.harness import QUICK, create_database, figures, own_postgres, print_goal, print_table
from tests.integration.bridge.inbox_rig import MASTER_KEY, InboxRig, open_rig, plain
from tests.integration.bridge.rig import KEYRING, Rig

MESSAGES: Final = 4_000 if QUICK else 40_000
CONTACTS: Final = 200 if QUICK else 2_000
EVENTS: Final = 4_000 if QUICK else 30_000
SECONDS: Final = 2 if QUICK else 10
EVENTS_PER_S: Final = 1_000
PROCESSES: Final = (1, 2)
STREAM_BYTES: Final = 512 << 20
INBOX_GOAL: Final = 10_000.0
RELAY_GOAL: Final = 10_000.0
LATENCY_GOAL_MS: Final = 30.0
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
        other = await create_database(server, "relay")
        await migrate_async(other)
        async with relaying(other, nats_server) as bridge:
            publish = await publishing(bridge)
            relay, latency = await relay_rate(bridge), await commit_to_consumer(bridge)
    return _report(peer, rates, publish, relay, latency)


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


# -- out --------------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def relaying(database: str, server: Nats) -> AsyncIterator[Rig]:
    store = await EventStore.open(database, codec=CODEC, keyring=KEYRING, pool_size=4)
    async with contextlib.AsyncExitStack() as stack:
        yield Rig(store, server, stack)
    await store.close()


async def publishing(rig: Rig) -> float:
    """nats-py alone: messages of the same size to a stream, as many acknowledgements awaited at once as it takes."""
    client = await nats.connect(rig.server.url, pending_size=64 << 20)
    js = client.jetstream(publish_async_max_pending=4_000)
    await js.add_stream(StreamConfig(name="PEER", subjects=["peer.>"], max_bytes=STREAM_BYTES))
    body, headers = b"x" * 600, {"Nats-Msg-Id": ""}
    began = time.perf_counter()
    for n in range(EVENTS):
        await js.publish_async("peer.event", body, headers=headers | {"Nats-Msg-Id": str(n)})
    await js.publish_async_completed()
    rate = EVENTS / (time.perf_counter() - began)
    await js.delete_stream("PEER")
    await client.close()
    return rate


async def relay_rate(rig: Rig) -> float:
    """From a log that nobody relayed to a stream that holds all of it."""
    contacts = await asyncio.gather(*(rig.contact() for _ in range(100)))
    share = EVENTS // len(contacts)
    await rig.store.append_bulk([_edits(rig.workspace_id, contact, share) for contact in contacts])
    head = await rig.store.head(0)
    relay = rig.relay(definition=events_stream(max_bytes=STREAM_BYTES))
    began = time.perf_counter()
    rig.start(relay)
    while relay.tail.position(0) < head:
        await asyncio.sleep(0.01)
    return head / (time.perf_counter() - began)


def _edits(workspace_id: UUID, contact: UUID, count: int) -> Write:
    events = tuple(ContactDetailsChanged(first_name=f"Ada {n}") for n in range(count))
    part = StreamWrite(
        stream=Stream(workspace_id, "contact", contact), expected_version=1, events=events, subject_id=contact
    )
    return Write(workspace_id=workspace_id, streams=(part,))


async def commit_to_consumer(rig: Rig) -> list[float]:
    """Seconds from the answer to an append to its message at a consumer, at a steady rate; the relay still runs."""
    client = await nats.connect(rig.server.url)
    arrived: dict[str, float] = {}

    async def receive(message: Any) -> None:
        arrived[msgspec.json.decode(message.data)["position"]] = time.perf_counter()

    await client.subscribe("rollbook.events.v1.>", cb=receive)
    await client.flush()
    committed: dict[str, float] = {}
    contacts = await asyncio.gather(*(rig.contact() for _ in range(64)))
    versions = dict.fromkeys(contacts, 1)

    async def edit(contact: UUID) -> None:
        version = versions[contact]
        versions[contact] += 1
        appended = await rig.append(contact, version, ContactDetailsChanged(first_name=f"Ada {version}"))
        committed[appended.token] = time.perf_counter()

    await steadily(edit, contacts)
    deadline = time.perf_counter() + 10
    while committed.keys() - arrived.keys() and time.perf_counter() < deadline:
        await asyncio.sleep(0.05)
    await client.close()
    assert not committed.keys() - arrived.keys(), "every event reached the consumer"
    return [max(0.0, arrived[token] - at) for token, at in committed.items()]


async def steadily(operation: Callable[[UUID], Awaitable[None]], contacts: list[UUID]) -> None:
    """EVENTS_PER_S operations each second, on a contact that has none under way."""
    free = list(contacts)
    under_way: set[asyncio.Task[None]] = set()
    began = time.perf_counter()

    async def one(contact: UUID) -> None:
        await operation(contact)
        free.append(contact)

    for n in range(EVENTS_PER_S * SECONDS):
        while (ahead := began + n / EVENTS_PER_S - time.perf_counter()) > 0 or not free:
            await asyncio.sleep(max(ahead, 0.0005))
        task = asyncio.ensure_future(one(free.pop(0)))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
    await asyncio.gather(*under_way)


# -- report -----------------------------------------------------------------------------------------------------------


def _report(peer: float, rates: dict[int, float], publish: float, relay: float, latency: list[float]) -> bool:
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
    print_table(
        f"{EVENTS:,} events out",
        ("", "messages/s", "of nats-py"),
        [
            ("nats-py asynchronous publish", f"{publish:,.0f}", "1.00 ×"),
            ("relay, log to stream", f"{relay:,.0f}", f"{relay / publish:.2f} ×"),
        ],
    )
    found = figures(latency, len(latency) / SECONDS)
    print_table(
        f"commit to consumer at {EVENTS_PER_S:,} events/s",
        ("", "p50 ms", "p99 ms"),
        [("relay", f"{found.p50_ms:.1f}", f"{found.p99_ms:.1f}")],
    )
    reached = [
        print_goal("inbound, applied durably", max(rates.values()), INBOX_GOAL, unit="messages/s"),
        print_goal("relay", relay, min(RELAY_GOAL, publish), unit="messages/s"),
        print_goal("commit to consumer, p99", found.p99_ms, LATENCY_GOAL_MS, at_least=False, unit="ms"),
    ]
    return all(reached)
