"""Finds personal data in files, in every form it may have taken, and sweeps a cluster of what deleting leaves."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import asyncpg

#: Tables that held readable personal data or keys. Their statistics do as well.
SWEPT: Final = """
SELECT format('VACUUM FULL %I.%I', n.nspname, c.relname)
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND (n.nspname LIKE 'rm\\_%' OR n.nspname = 'keys' OR c.oid = 'pg_statistic'::regclass)
    AND n.nspname <> 'information_schema'
"""


def forms(text: str) -> Iterator[bytes]:
    """UTF-8 in either case, UTF-16, hexadecimal, base64 at any offset. JSON escapes nothing in ASCII."""
    for raw in {text, text.upper()}:
        for encoded in (raw.encode(), raw.encode("utf-16-le"), raw.encode("utf-16-be")):
            yield encoded
            yield encoded.hex().encode()
            yield encoded.hex().upper().encode()
            yield from _base64(encoded)


def _base64(encoded: bytes) -> Iterator[bytes]:
    """What all that surrounds it leaves unchanged, standard and URL-safe."""
    for offset in range(3):
        whole = base64.b64encode(bytes(offset) + encoded)
        start, end = -(-offset * 8 // 6), (offset + len(encoded)) * 8 // 6
        yield whole[start:end]
        yield whole[start:end].translate(bytes.maketrans(b"+/", b"-_"))


class Traces:
    """Places in files, counted by file."""

    def __init__(self, wanted: Iterable[bytes]) -> None:
        self._wanted = frozenset(wanted)

    def find(self, *roots: Path) -> Counter[str]:
        found: Counter[str] = Counter()
        for root in roots:
            for path in [root] if root.is_file() else [each for each in root.rglob("*") if each.is_file()]:
                if hits := self._count(path):
                    found[str(path.relative_to(root)) if path != root else path.name] += hits
        return found

    def _count(self, path: Path) -> int:
        try:
            content = path.read_bytes()
        except FileNotFoundError:  # of a server that runs
            return 0
        return sum(map(content.count, self._wanted))


async def checkpoint(connection: asyncpg.Connection) -> None:
    """Brings what is in memory into the files."""
    await connection.execute("CHECKPOINT")


async def sweep(connection: asyncpg.Connection) -> None:
    """What an operator does after erasures: rewrites the tables that held readable data, drops the old WAL.

    PostgreSQL leaves the bytes of deleted rows in their pages, in indexes, in statistics and in recycled WAL segments.
    """
    await connection.execute("ALTER SYSTEM SET wal_recycle = off")
    await connection.execute("SELECT pg_reload_conf()")
    await connection.execute("ANALYZE")
    for (statement,) in await connection.fetch(SWEPT):
        await connection.execute(statement)
    for _ in range(3):
        await connection.execute("SELECT pg_switch_wal()")
        await connection.execute("CHECKPOINT")
