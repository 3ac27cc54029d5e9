"""What the duplicate read model must be, worked out the plainest way: everybody is compared with everybody."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from itertools import combinations
from typing import Any, Final
from uuid import UUID

import asyncpg

from contacts.contact.state import Contact
from contacts.duplicate import blocks, keys
from contacts.duplicate.model import judge
from contacts.duplicate.projection import DuplicateProjection
from contacts.duplicate.queries import DuplicateQueries
from contacts.duplicate.traits import traits_of
from contacts.emails import email_mailbox
from eventstore import builds
from eventstore.cipher import Keyring
from eventstore.envelope import RecordedEvent

LIVE: Final = "rm_duplicate"
TABLES: Final = (
    "candidate", "contact_member", "full_block", "likely_pair", "address_group", "dismissal", "duplicate_count",
)  # fmt: skip
KEYRING: Final = Keyring.from_secret(b"a master secret of the tests, 32+ bytes")


class Expected:
    """Groups, pairs and full blocks of the present profiles."""

    def __init__(self, profiles: Iterable[Contact], block_max: int = blocks.BLOCK_MAX) -> None:
        self.present = {contact.id: contact for contact in profiles if not contact.deleted and not contact.erased}
        self.groups = {by: self._groups(by) for by in keys.ADDRESS_KINDS}
        self._traits = {id_: traits_of(contact) for id_, contact in self.present.items()}
        members: dict[tuple[str, int], set[UUID]] = {}
        for id_, traits in self._traits.items():
            for kind, key in zip(blocks.KINDS, blocks.keys_of(traits), strict=True):
                if key is not None:
                    members.setdefault((kind, key), set()).add(id_)
        self.full = {block for block, ids in members.items() if len(ids) > block_max}
        compared = {
            keys.pair_of(*pair)
            for block, ids in members.items()
            if block not in self.full
            for pair in combinations(ids, 2)
        }
        self.pairs = {
            pair: verdict
            for pair in compared
            if (verdict := judge(self._traits[pair[0]], self._traits[pair[1]])).is_likely
        }

    def _groups(self, by: keys.AddressKind) -> dict[str, set[UUID]]:
        found: dict[str, set[UUID]] = {}
        for id_, contact in self.present.items():
            address = contact.phone if by == "phone" else contact.email and email_mailbox(contact.email)
            if address:
                found.setdefault(address, set()).add(id_)
        return {address: ids for address, ids in found.items() if len(ids) > 1}


class Model:
    """The live build and, beside it, builds to compare it with."""

    def __init__(self, projector: asyncpg.Connection, readers: asyncpg.Pool) -> None:
        self.projector = projector
        self.projection = DuplicateProjection().bound(KEYRING)
        self.ids = keys.DismissalIds(KEYRING.hmac)
        self.queries = DuplicateQueries(readers, b"sixteen bytes ok")

    async def apply(
        self, events: Sequence[RecordedEvent[Any]], *, fresh: bool = False, batch: int = 1_000, schema: str = LIVE
    ) -> None:
        for start in range(0, len(events), batch):
            async with self.projector.transaction():
                await builds.use_schema(self.projector, schema)
                await self.projection.apply(self.projector, events[start : start + batch], fresh=fresh)

    async def add_build(self, schema: str) -> None:
        await self.projector.execute(f"CREATE SCHEMA {schema}")
        async with self.projector.transaction():
            await builds.use_schema(self.projector, schema)
            await self.projector.execute(self.projection.schema_sql)

    async def clear(self, *schemas: str) -> None:
        for schema in schemas:
            await self.projector.execute("TRUNCATE " + ", ".join(f"{schema}.{table}" for table in TABLES))

    async def rows(self, table: str, schema: str = LIVE) -> list[dict[str, Any]]:
        """Everything the projector sees, in a fixed order."""
        rows = await self.projector.fetch(f"SELECT * FROM {schema}.{table} AS t ORDER BY t::text")
        return [dict(row) for row in rows]

    async def content(self, schema: str = LIVE) -> dict[str, list[dict[str, Any]]]:
        return {table: await self.rows(table, schema) for table in TABLES}


@asynccontextmanager
async def open_model(database: str) -> AsyncIterator[Model]:
    """With the roles that really write and read."""
    projector = await asyncpg.connect(database, server_settings={"role": "rollbook_projector", "jit": "off"})
    readers = await asyncpg.create_pool(
        database, min_size=1, max_size=3, server_settings={"role": "rollbook_reader", "jit": "off"}
    )
    try:
        await builds.ensure_builds(projector, [DuplicateProjection()])
        yield Model(projector, readers)
    finally:
        await readers.close()
        await projector.close()
