"""R13: every event reaches JetStream, in order per contact, and a tail that was lost is repaired.

Two relays run side by side, as in production, while contacts are written and one fault after the other strikes. After
each round the stream must equal the log. Three planted bugs show that the test would notice: a relay that trusts a
checkpoint of its own, one without a fence, and one that takes "duplicate" for "stored".

`ROLLBOOK_CHAOS=full` runs 500 rounds, one of them a ten-minute outage; `ROLLBOOK_CHAOS_SEED` repeats a run.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import resource
import secrets
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import nats
import pytest

from contacts.catalog import CODEC
from contacts.contact.events import ContactCreated, ContactDetailsChanged
from contacts_bridge import feed, fenced, relay
from contacts_bridge.definitions import EVENTS
from contacts_bridge.errors import AlreadyStored, BridgeError
from eventstore.envelope import LaneBatch
from eventstore.errors import EventStoreError
from eventstore.store import EventStore
from rollbook.embedded.nats import Nats
from tests.integration.bridge.rig import KEYRING, Rig, delivery_faults, stop
from tests.support.waiting import until

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(0)]

FULL = os.environ.get("ROLLBOOK_CHAOS") == "full"
ROUNDS = 500 if FULL else 20
ROUNDS_PER_WORLD = 20
OUTAGE_S = 600.0 if FULL else 1.0
SETTLED_WITHIN_S = 30.0


class StallingLog:
    """The log as seen by a relay that freezes with a batch in its hands and goes on as if nothing had happened."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self.lanes = store.lanes
        self.connect = store.connect
        self.head = store.head
        self.going_on = asyncio.Event()
        self.going_on.set()

    async def read_lane(self, lane: int, *, after: int, limit: int) -> LaneBatch:
        read = await self._store.read_lane(lane, after=after, limit=limit)
        if limit > 1:
            await self.going_on.wait()
        return read


class World:
    """A log with writers, a NATS server and two relays."""

    def __init__(self, rig: Rig, seed: int) -> None:
        self.rig = rig
        self.random = random.Random(seed)
        self._writing = asyncio.Lock()
        self._logs = [StallingLog(rig.store) for _ in range(2)]
        self._relays = [rig.relay(store=log) for log in self._logs]  # type: ignore[arg-type]
        self._tasks: list[asyncio.Task[None] | None] = [None, None]

    async def start_relays(self) -> None:
        for number, task in enumerate(self._tasks):
            if task is None:
                self._tasks[number] = self.rig.start(self._relays[number])

    async def stop_relays(self, *numbers: int) -> None:
        for number in numbers or (0, 1):
            task, self._tasks[number] = self._tasks[number], None
            if task is not None:
                await stop(task)

    async def write(self, events: int, *, at_least_until: asyncio.Event | None = None) -> None:
        """New contacts and edits of theirs, one command after the other, with pauses."""
        versions: dict[UUID, int] = {}
        written = 0
        while written < events or not (at_least_until is None or at_least_until.is_set()):
            async with self._writing:
                written += await self._command(versions)
            pause_s = self.random.choice((0, 0, 0.002, 0.01)) if written < events else 0.02
            await asyncio.sleep(pause_s)

    async def _command(self, versions: dict[UUID, int]) -> int:
        contact_id = self.random.choice([uuid4(), *list(versions)[-8:]])
        version = versions.pop(contact_id, 0)
        changes = [ContactDetailsChanged(first_name=secrets.token_hex(4)) for _ in range(self.random.randint(0, 5))]
        first = [] if version and changes else [ContactCreated(source="api", first_name="Ada")]
        if first:
            contact_id, version = uuid4(), 0
        try:
            await self.rig.append(contact_id, version, *first, *changes)
        except EventStoreError:
            return 0  # the database was cut off: whether it was written is unknown, so nobody edits that contact again
        versions[contact_id] = version + len(first) + len(changes)
        return len(first) + len(changes)

    async def a_while(self) -> None:
        await asyncio.sleep(self.random.uniform(0.02, 0.15))

    # -- faults: each heals what it broke ------------------------------------------------------------------------

    async def nats_killed(self) -> None:
        await self.a_while()
        await asyncio.to_thread(self.rig.server.kill)
        await self.a_while()
        await asyncio.to_thread(self.rig.server.start)

    async def nats_paused(self) -> None:
        await self.a_while()
        self.rig.server.pause()
        await asyncio.sleep(self.random.uniform(0.1, 0.7))
        self.rig.server.resume()

    async def nats_away_for_long(self) -> None:
        await asyncio.to_thread(self.rig.server.kill)
        await asyncio.sleep(OUTAGE_S)
        await asyncio.to_thread(self.rig.server.start)

    async def disk_full(self) -> None:
        """No file may grow any more: to the server as if the disk were full, and as sticky until its restart."""
        await self.a_while()
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        assert self.rig.server.pid
        resource.prlimit(self.rig.server.pid, resource.RLIMIT_FSIZE, (1024, resource.RLIM_INFINITY))
        await self.a_while()
        resource.prlimit(self.rig.server.pid, resource.RLIMIT_FSIZE, unlimited)
        await self.a_while()
        await self.nats_killed()

    async def stream_deleted(self) -> None:
        await self.a_while()
        client = await nats.connect(self.rig.server.url)
        with contextlib.suppress(nats.js.errors.NotFoundError):
            await client.jetstream().delete_stream(EVENTS)
        await client.close()

    async def tail_lost(self) -> None:
        """The server comes back with its files as they were a moment ago, as after a power cut without fsync."""
        files = self.rig.server.folder / "nats"
        earlier = self.rig.server.folder / "earlier"
        await asyncio.to_thread(self.rig.server.kill)
        await asyncio.to_thread(shutil.copytree, files, earlier)
        await asyncio.to_thread(self.rig.server.start)
        await self.write(20)
        await self.settled()
        await asyncio.to_thread(self.rig.server.kill)
        await asyncio.to_thread(shutil.rmtree, files)
        earlier.rename(files)
        await asyncio.to_thread(self.rig.server.start)

    async def tail_deleted(self) -> None:
        """Somebody removes the last messages, whose ids the server still remembers."""
        async with self._writing:
            # Nothing may be under way: a message after the removed ones would make a hole of them, and no tail.
            await self.settled()
            await self.stop_relays()
            client = await nats.connect(self.rig.server.url)
            with contextlib.suppress(nats.js.errors.NotFoundError):
                last = (await client.jetstream().stream_info(EVENTS)).state.last_seq
                for sequence in range(last, max(0, last - self.random.randint(1, 12)), -1):
                    with contextlib.suppress(nats.js.errors.NotFoundError):
                        await client.jetstream().delete_msg(EVENTS, sequence)
            await client.close()
        await self.start_relays()

    async def relay_killed(self) -> None:
        await self.a_while()
        number = self.random.randrange(2)
        await self.stop_relays(number)
        await self.a_while()
        await self.start_relays()

    async def relay_frozen(self) -> None:
        """One relay after the other freezes long enough to be taken for dead; its batch is old when it wakes."""
        for log in self._logs:
            log.going_on.clear()
            await asyncio.sleep(0.8)
            log.going_on.set()
            await self.a_while()

    async def database_cut(self) -> None:
        """Every session of the log ends, also the writers'."""
        await self.a_while()
        with contextlib.suppress(Exception):
            await self.rig.store.pool.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    async def settled(self) -> bool:
        """Waits until the last message in the stream is the last event of the log; False when that takes too long."""
        head = await self.rig.store.head(0)

        async def at_head() -> bool:
            try:
                async with self.rig.broker() as broker:
                    return (await feed.read_tail(broker)).position(0) >= head
            except BridgeError:
                return False

        try:
            return await until(at_head, timeout_s=SETTLED_WITHIN_S, every_s=0.02)
        except AssertionError:
            return False

    async def play(self, fault: str) -> list[str]:
        """One round: the fault strikes while contacts are written. Answers what is wrong afterwards."""
        await self.start_relays()
        strike: Callable[[], Awaitable[None]] = getattr(self, fault)
        healed = asyncio.Event()
        writing = asyncio.ensure_future(self.write(self.random.randint(40, 120), at_least_until=healed))
        await strike()
        healed.set()
        await writing
        settled = await self.settled()
        faults = delivery_faults(await self.rig.stored(), await self.rig.logged())
        return faults if settled else [f"not settled within {SETTLED_WITHIN_S} s", *faults]


FAULTS = (
    "nats_killed", "nats_paused", "stream_deleted", "tail_lost", "tail_deleted", "relay_killed", "relay_frozen",
    "database_cut", "disk_full", "nats_away_for_long",
)  # fmt: skip


def schedule(chance: random.Random, rounds: int) -> Iterator[str]:
    """Every fault about equally often, in random order; in a full run one long outage, for it takes ten minutes."""
    short = [fault for fault in FAULTS if fault != "nats_away_for_long"] if FULL else list(FAULTS)
    plan = [short[number % len(short)] for number in range(rounds)]
    if FULL:
        plan[-1] = "nats_away_for_long"
    chance.shuffle(plan)
    yield from plan


@contextlib.asynccontextmanager
async def world(database: str, server: Nats, seed: int) -> AsyncIterator[World]:
    store = await EventStore.open(database, codec=CODEC, keyring=KEYRING, pool_size=4)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(store.close)
        built = World(Rig(store, server, stack), seed)
        stack.push_async_callback(built.stop_relays)
        yield built


Databases = Callable[..., str]
Servers = Callable[..., Nats]


async def test_the_stream_equals_the_log_after_every_fault(
    create_database: Databases, private_nats: Servers, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = int(os.environ.get("ROLLBOOK_CHAOS_SEED", secrets.randbelow(2**32)))
    chance = random.Random(seed)
    plan = schedule(chance, ROUNDS)
    played: Counter[str] = Counter()
    events = 0
    for _ in range(0, ROUNDS, ROUNDS_PER_WORLD):
        server = await asyncio.to_thread(private_nats)
        async with world(create_database(), server, chance.getrandbits(32)) as built:
            for fault, _ in zip(plan, range(ROUNDS_PER_WORLD), strict=False):
                found = await built.play(fault)
                assert not found, f"seed {seed}, round {played.total() + 1}, {fault}: {'; '.join(found)}"
                played[fault] += 1
            events += await built.rig.store.head(0)
        await asyncio.to_thread(server.stop)
    with capsys.disabled():
        print(f"\nR13: seed {seed}, {played.total()} rounds, {events} events, all in the stream once and in order")
        print("     " + ", ".join(f"{fault} {count}" for fault, count in sorted(played.items())))


# -- planted bugs ----------------------------------------------------------------------------------------------------


def _trusts_a_checkpoint(patch: pytest.MonkeyPatch) -> None:
    """As a relay with a row in the database: what was acknowledged once is never looked at again."""
    checkpoint: dict[int, int] = {}
    add, read = feed.add, feed.read_tail

    async def remembering(broker: Any, batch: Any, tail: feed.Tail, **options: Any) -> feed.Tail:
        after = await add(broker, batch, tail, **options)
        checkpoint.update(after.positions)
        return after

    async def remembered(broker: Any) -> feed.Tail:
        tail = await read(broker)
        return feed.Tail(sequence=tail.sequence, positions=dict(checkpoint))

    patch.setattr(feed, "add", remembering)
    patch.setattr(feed, "read_tail", remembered)


def _has_no_fence(patch: pytest.MonkeyPatch) -> None:
    """Nor message ids, which JetStream remembers for two minutes only: what a relay frozen for longer would meet."""
    with_headers = fenced._with_headers

    def unfenced(*arguments: Any, **options: Any) -> Iterator[tuple[fenced.Message, dict[str, str]]]:
        for message, headers in with_headers(*arguments, **options):
            headers.pop("Nats-Expected-Last-Sequence", None)
            headers.pop("Nats-Msg-Id")
            yield message, headers

    patch.setattr(fenced, "_with_headers", unfenced)


def _takes_duplicate_for_stored(patch: pytest.MonkeyPatch) -> None:
    """Believes JetStream when it says that it has these messages already."""
    add = feed.add

    async def believing(broker: Any, batch: Any, tail: feed.Tail, **options: Any) -> feed.Tail:
        try:
            return await add(broker, batch, tail, **options)
        except AlreadyStored:
            return feed.Tail(sequence=tail.sequence, positions={0: batch[-1].position})

    patch.setattr(feed, "add", believing)
    patch.setattr(relay, "LOOK_EVERY_S", 3600.0)


@pytest.mark.parametrize(
    ("plant", "fault"),
    [
        (_trusts_a_checkpoint, "tail_lost"),
        (_has_no_fence, "relay_frozen"),
        (_takes_duplicate_for_stored, "tail_deleted"),
    ],
)
async def test_the_planted_bug_is_caught(
    plant: Callable[[pytest.MonkeyPatch], None],
    fault: str,
    database: str,
    private_nats: Servers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plant(monkeypatch)
    monkeypatch.setitem(globals(), "SETTLED_WITHIN_S", 3.0)
    async with world(database, await asyncio.to_thread(private_nats), seed=13) as built:
        found: list[str] = []
        for _ in range(3):
            found = found or await built.play(fault)
    assert found, f"{plant.__name__} went unnoticed"
