"""The relay: how fast it empties a full log beside nats-py's own publishing, and how late an event is at a consumer."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from pathlib import Path
from uuid import UUID, uuid4

import msgspec
import nats

from contacts.catalog import CODEC
from contacts.contact.events import ContactCreated, ContactDetailsChanged
from contacts_bridge.definitions import EVENTS, ensure_stream, events_stream
from eventstore.envelope import Stream, StreamWrite, Write
from eventstore.migrate import migrate_async
from eventstore.store import EventStore
from rollbook.embedded.nats import Nats
from tests.bench.harness import (
    QUICK,
    Figures,
    create_database,
    figures,
    own_postgres,
    print_goal,
    print_table,
)
from tests.integration.bridge.rig import KEYRING, Rig

EVENTS_TO_SEND = 4_000 if QUICK else 50_000
EVENTS_OF_ONE = 100
RATE = 1_000
SECONDS = 2.0 if QUICK else 10.0
WINDOW = 1_000
GOAL_RATE = 10_000
GOAL_MS = 30.0
PAYLOAD_BYTES = 600


async def run() -> bool:
    with own_postgres() as postgres, tempfile.TemporaryDirectory(prefix="rollbook-bench-") as folder:
        Path(folder).chmod(0o711)
        server = Nats(Path(folder) / "nats")
        server.start()
        try:
            dsn = await create_database(postgres, "relay")
            await migrate_async(dsn)
            store = await EventStore.open(dsn, codec=CODEC, keyring=KEYRING, pool_size=4)
            async with contextlib.AsyncExitStack() as stack:
                stack.push_async_callback(store.close)
                rig = Rig(store, server, stack)
                alone = await _publish(server)
                relayed = await _drain(rig)
                late = await _latency(rig)
        finally:
            server.stop()
    return _report(relayed, alone, late)


async def _publish(server: Nats) -> float:
    """Messages a second that nats-py gets acknowledged in a window, of the same size, without a log."""
    client = await nats.connect(server.url)
    stream = client.jetstream(publish_async_max_pending=WINDOW)
    await stream.add_stream(name="BENCH", subjects=["bench.>"], max_bytes=1 << 28)
    payload = bytes(PAYLOAD_BYTES)
    began = time.perf_counter()
    pending = [
        await stream.publish_async("bench.x", payload, headers={"Nats-Msg-Id": str(number)}, wait_stall=60)
        for number in range(EVENTS_TO_SEND)
    ]
    await asyncio.gather(*pending)
    seconds = time.perf_counter() - began
    await stream.delete_stream("BENCH")
    await client.close()
    return EVENTS_TO_SEND / seconds


async def _drain(rig: Rig) -> float:
    """Messages a second of a relay that finds a full log."""
    await asyncio.gather(*(_contact(rig) for _ in range(EVENTS_TO_SEND // EVENTS_OF_ONE)))
    began = time.perf_counter()
    rig.start(rig.relay())
    async with rig.broker() as broker:
        await ensure_stream(broker, events_stream(max_bytes=256 << 20))
        while (await broker.api(f"STREAM.INFO.{EVENTS}"))["state"]["messages"] < EVENTS_TO_SEND:
            await asyncio.sleep(0.01)
    return EVENTS_TO_SEND / (time.perf_counter() - began)


async def _contact(rig: Rig) -> None:
    edits = tuple(ContactDetailsChanged(first_name=f"Ada {number}") for number in range(EVENTS_OF_ONE - 1))
    await rig.append(uuid4(), 0, ContactCreated(source="api", first_name="Ada", tags=("vip",)), *edits)


async def _latency(rig: Rig) -> Figures:
    """From the acknowledgement of a commit to the event at a consumer, at a steady rate, the relay at work."""
    committed: dict[UUID, float] = {}
    seen: dict[UUID, float] = {}
    client = await nats.connect(rig.server.url)

    async def got(message: nats.aio.msg.Msg) -> None:
        seen[UUID(msgspec.json.decode(message.data)["subject"])] = time.perf_counter()

    await client.subscribe(f"rollbook.events.v1.{rig.workspace_id}.contact.created", cb=got)
    await client.flush()

    async def one() -> None:
        contact_id = uuid4()
        stream = Stream(rig.workspace_id, "contact", contact_id)
        event = ContactCreated(source="api", first_name="Ada")
        write = StreamWrite(stream=stream, expected_version=0, events=(event,), subject_id=contact_id, new_subject=True)
        await rig.store.append(Write(workspace_id=rig.workspace_id, streams=(write,)))
        committed[contact_id] = time.perf_counter()

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(int(SECONDS * RATE)):
            if (wait := began + number / RATE - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            group.create_task(one())
    while len(seen) < len(committed):
        await asyncio.sleep(0.05)
    await client.close()
    return figures([max(0.0, seen[id_] - at) for id_, at in committed.items()], RATE)


def _report(relayed: float, alone: float, late: Figures) -> bool:
    rows = [
        ["relay, log to fsynced stream", f"{relayed:,.0f}/s", ""],
        [f"nats-py alone, window of {WINDOW:,}", f"{alone:,.0f}/s", ""],
        [f"commit to consumer, {RATE:,} events/s", "", f"{late.p50_ms:.1f} / {late.p99_ms:.1f}"],
    ]
    print_table(
        "Relay, JetStream syncs always, all in one process beside its servers", ["", "rate", "p50 / p99 ms"], rows
    )
    wanted = min(GOAL_RATE, alone)
    return all(
        (
            print_goal("relay to the lower of 10,000/s and nats-py alone", relayed / wanted, 1.0),
            print_goal("commit to consumer, p99", late.p99_ms, GOAL_MS, at_least=False, unit="ms"),
        )
    )
