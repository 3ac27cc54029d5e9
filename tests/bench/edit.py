"""Read-modify-write: an edit through load, decide and append, beside the library's get and save."""

from __future__ import annotations

import itertools
from uuid import UUID

from contacts.catalog import CODEC
from contacts.contact.commands import Details, EditContact
from contacts.contact.handler import ContactHandler
from eventstore.cipher import Keyring
from eventstore.envelope import Metadata, new_id
from eventstore.migrate import migrate_async
from eventstore.store import EventStore
from tests.bench.append import ROUNDS, SECONDS, created
from tests.bench.harness import (
    Figures,
    age_log,
    closed_loop,
    create_database,
    median,
    own_postgres,
    print_goal,
    print_table,
)
from tests.bench.peers import Library

IN_FLIGHT = 64
CONTACTS = 20_000
METADATA = Metadata(actor="key:01ab23cd", source="api")


class Rollbook:
    """Edits spread over many contacts, each with an idempotency key, its version checked, its payload encrypted."""

    def __init__(self, store: EventStore, *, cached: bool) -> None:
        self.name = "Rollbook, states cached" if cached else "Rollbook, every state loaded"
        # A cache of one state never holds the contact that comes next.
        self._handler = ContactHandler(store, cache_size=100_000 if cached else 1)
        self._workspace = new_id()
        self._store = store
        self._contacts: list[UUID] = []
        self._numbers = itertools.count()

    async def fill(self) -> None:
        writes = [created(self._workspace, number) for number in range(CONTACTS)]
        await self._store.append_bulk(writes)
        self._contacts = [write.streams[0].stream.id for write in writes]

    async def edit(self, seconds: float) -> Figures:
        return await closed_loop(self._edit, IN_FLIGHT, seconds)

    async def _edit(self) -> None:
        number = next(self._numbers)
        await self._handler.execute(
            EditContact(
                workspace_id=self._workspace,
                contact_id=self._contacts[number % CONTACTS],
                details=Details(first_name=f"Zoë {number}", country="AT" if number // CONTACTS % 2 else "DE"),
            ),
            metadata=METADATA,
            idempotency_key=f"edit-{number}",
            request_hash=number.to_bytes(16, "big"),
        )


async def run() -> bool:
    with own_postgres() as server:
        await age_log(server)
        dsn = await create_database(server, "ours")
        await migrate_async(dsn)
        default = Library(await create_database(server, "library"), IN_FLIGHT, database_functions=False)
        functions = Library(await create_database(server, "library_functions"), IN_FLIGHT, database_functions=True)
        store = await EventStore.open(dsn, codec=CODEC, keyring=Keyring.from_secret(b"b" * 32))
        try:
            cached, loaded = Rollbook(store, cached=True), Rollbook(store, cached=False)
            await cached.fill()
            await loaded.fill()
            results: dict[str, list[Figures]] = {}
            for _ in range(ROUNDS):
                for ours in (cached, loaded):
                    results.setdefault(ours.name, []).append(await ours.edit(SECONDS))
                for library in (default, functions):
                    results.setdefault(library.name, []).append(await library.edit(IN_FLIGHT, SECONDS))
        finally:
            await store.close()
    rows = [
        [name, f"{(m := median(rounds)).rate:,.0f}/s", f"{m.p50_ms:.1f} / {m.p99_ms:.1f}"]
        for name, rounds in results.items()
    ]
    print_table(
        f"Edits of existing contacts, {IN_FLIGHT} in flight (the library: 8 threads, its best), fsync on",
        ["system", "rate", "p50 / p99 ms"],
        rows,
    )
    ratios = sorted(a.rate / b.rate for a, b in zip(results[loaded.name], results[default.name], strict=True))
    best = sorted(a.rate / b.rate for a, b in zip(results[cached.name], results[default.name], strict=True))
    return all(
        (
            print_goal("every state loaded to the library's default", ratios[len(ratios) // 2], 12),
            print_goal("states cached to the library's default", best[len(best) // 2], 12),
        )
    )
