"""Finds personal data in files, in every form it may have taken."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import asyncpg


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
