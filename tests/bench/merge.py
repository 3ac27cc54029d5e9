"""Merging and unmerging contacts with long histories: from the request until the read model shows it, and the fold."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg

from contacts.catalog import CODEC
from contacts.contact import events as e
from contacts.contact.state import CATEGORY, evolve, initial
from contacts.values import Tag
from eventstore.cipher import Keyring
from eventstore.envelope import Metadata, Stream, StreamWrite, Write, new_id
from eventstore.store import EventStore
from servicekit.settings import parse_master_keys
from tests.bench.harness import QUICK, Figures, figures, print_goal, print_table
from tests.bench.http import cpu_s, stack
from tests.bench.load import Connection

PAIRS = 4 if QUICK else 60
ROUNDS = 2 if QUICK else 4
EVENTS = 1_000
METADATA = Metadata(actor="key:01ab23cd", source="api")
VISIBLE_MS = 50
FOLD_MS = 5
#: CPU time that all processes of an idle stack may use in a second.
IDLE_S = 0.15
SNAPSHOTS_WITHIN_S = 180
#: As in the seconds after an import; shown beside the others, without a goal of its own.
UNKNOWN = "merge, first load without snapshots"


def story(number: int) -> tuple[e.ContactEvent, ...]:
    """A contact's first thousand events: edits of fields and attributes, tags that come and go."""
    kinds: tuple[Callable[[int], e.ContactEvent], ...] = (
        lambda n: e.ContactDetailsChanged(first_name=f"Zoë {n}", country="DE" if n % 2 else "AT"),  # type: ignore[arg-type]
        lambda n: e.ContactTagged(tags=(Tag(f"tag {n % 40}"),)),
        lambda n: e.ContactDetailsChanged(attributes={"plan": "gold", "seats": n}),
        lambda n: e.ContactUntagged(tags=(Tag(f"tag {n % 40}"),)),
    )
    created = e.ContactCreated(source="api", email=f"zoe.{number}@example.org")  # type: ignore[arg-type]
    return (created, *(kinds[n % 4](n) for n in range(EVENTS - 1)))


async def fill(store: EventStore, workspace_id: UUID) -> list[tuple[UUID, UUID]]:
    pairs = [(new_id(), new_id()) for _ in range(2 * PAIRS)]
    for number, pair in enumerate(pairs):
        for contact_id in pair:
            stream = StreamWrite(
                stream=Stream(workspace_id, CATEGORY, contact_id), expected_version=0, events=story(number),
                subject_id=contact_id, new_subject=True,
            )  # fmt: skip
            await store.append_bulk([Write(workspace_id=workspace_id, streams=(stream,), metadata=METADATA)])
    return pairs


async def only_some_have_snapshots(dsn: str, *, yes: Sequence[UUID], no: Sequence[UUID]) -> None:
    """Waits until all of them have one, as they come to soon after they were written, and takes some away again."""
    connection = await asyncpg.connect(dsn)
    try:
        async with asyncio.timeout(SNAPSHOTS_WITHIN_S):
            while await connection.fetchval(
                "SELECT count(*) < $2 FROM log.snapshots WHERE stream_id = ANY ($1)", [*yes, *no], len(yes) + len(no)
            ):
                await asyncio.sleep(0.2)
        await connection.execute("DELETE FROM log.snapshots WHERE stream_id = ANY ($1)", no)
    finally:
        await connection.close()


async def settled(pids: Iterable[int]) -> None:
    """Until what the filling left behind (relay, other read models) is done: no process uses much CPU any more."""
    pids = list(pids)
    before, busy = sum(map(cpu_s, pids)), 1.0
    while busy > IDLE_S:
        await asyncio.sleep(1)
        now = sum(map(cpu_s, pids))
        before, busy = now, now - before


class Client:
    """Commands, each followed by the query that has to show it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.latencies: dict[str, list[float]] = {}

    async def merge(self, name: str, primary: UUID, other: UUID) -> str:
        body = json.dumps({"primary": str(primary), "others": [str(other)]}).encode()
        return str((await self._timed(name, "POST /v1/merges", body, ask=other, shows=primary))["id"])

    async def unmerge(self, name: str, merge_id: str, other: UUID) -> None:
        await self._timed(name, f"POST /v1/merges/{merge_id}/unmerge", b"{}", ask=other, shows=other)

    async def _timed(self, name: str, line: str, body: bytes, *, ask: UUID, shows: UUID) -> dict[str, Any]:
        begin = time.perf_counter()
        status, head, content = await self._connection.request(line, body)
        assert status in (200, 201), content
        position = head.lower().partition(b"rollbook-position: ")[2].split()[0]
        shown = await self._connection.request(
            f"GET /v1/contacts/{ask}", more=b"Rollbook-Min-Position: " + position + b"\r\n"
        )
        self.latencies.setdefault(name, []).append(time.perf_counter() - begin)
        assert json.loads(shown[2])["id"] == str(shows), shown
        answer: dict[str, Any] = json.loads(content)
        return answer


async def run() -> bool:
    async with stack() as running:
        # The master key lies in the data folder, beside the servers' addresses.
        keys = parse_master_keys(Path(running["master_key_file"]).read_text())
        store = await EventStore.open(running["database"], codec=CODEC, keyring=Keyring(keys, current=max(keys)))
        try:
            pairs = await fill(store, UUID(running["workspace"]))
            head = await store.head(0)
        finally:
            await store.close()
        connection = Connection(urlsplit(running["api"]).port or 80, running["key"])
        await connection.open()
        while (await connection.request(f"GET /v1/contacts?min_position=0.{head}"))[0] != 200:
            pass
        usual, unknown = pairs[:PAIRS], pairs[PAIRS:]
        await only_some_have_snapshots(
            running["database"], yes=[each for pair in usual for each in pair],
            no=[each for pair in unknown for each in pair],
        )  # fmt: skip
        await settled(running["pids"].values())
        client = Client(connection)
        rounds = [("merge, first load", usual), (UNKNOWN, unknown)]
        for name, of in [*rounds, *[("merge", usual)] * (ROUNDS - 1)]:
            for primary, other in of:
                merge_id = await client.merge(name, primary, other)
                await client.unmerge("unmerge", merge_id, other)
        connection.close()
    return _report({name: figures(found, 0) for name, found in client.latencies.items()}, _folds())


def _folds() -> dict[str, float]:
    """The best of many folds of a thousand events, in milliseconds."""
    at = datetime.now(UTC)
    plain = initial(new_id())
    merged = evolve(plain, e.ContactMerged(merge_id=new_id(), others=(new_id(),)), at)
    found = {}
    for name, start in (("a contact", plain), ("a contact that has absorbed one", merged)):
        events = story(1)[1:]
        times = []
        for _ in range(20):
            state, begin = start, time.perf_counter()
            for event in events:
                state = evolve(state, event, at)
            times.append((time.perf_counter() - begin) * 1e3)
        found[name] = min(times)
    return found


def _report(visible: dict[str, Figures], folds: dict[str, float]) -> bool:
    print_table(
        f"Two contacts with {EVENTS:,} events each: from the request until the read model shows it",
        ["command", "p50 / p99 ms"],
        [[name, f"{found.p50_ms:.1f} / {found.p99_ms:.1f}"] for name, found in visible.items()],
    )
    print_table(f"Folding {EVENTS:,} events", ["stream of", "ms"], [[name, f"{ms:.2f}"] for name, ms in folds.items()])
    reached = [
        print_goal(f"p99 of {name}", found.p99_ms, VISIBLE_MS, at_least=False, unit="ms")
        for name, found in visible.items()
        if name != UNKNOWN
    ]
    reached += [print_goal(f"fold of {name}", ms, FOLD_MS, at_least=False, unit="ms") for name, ms in folds.items()]
    return all(reached)
