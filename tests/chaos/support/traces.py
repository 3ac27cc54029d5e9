"""Finds personal data in files, in every form it may have taken."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Final

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


#: Longer than any run of zeros in what is looked for.
_NOTHING: Final = bytes(64)


class Traces:
    """Places in files, counted by file."""

    def __init__(self, wanted: Iterable[bytes]) -> None:
        self._wanted = frozenset(wanted)
        #: What was read before, with what was in it: servers keep many files in several copies.
        self._known: dict[bytes, int] = {}

    def find(self, *roots: Path) -> Counter[str]:
        found: Counter[str] = Counter()
        for root in roots:
            for path in [root] if root.is_file() else [each for each in root.rglob("*") if each.is_file()]:
                if hits := self._count(path):
                    found[str(path.relative_to(root)) if path != root else path.name] += hits
        return found

    def _count(self, path: Path) -> int:
        try:
            content = path.read_bytes().replace(_NOTHING, b"\0")
        except FileNotFoundError:  # of a server that runs
            return 0
        digest = blake2b(content).digest()
        if digest not in self._known:
            self._known[digest] = sum(map(content.count, self._wanted))
        return self._known[digest]


async def checkpoint(connection: asyncpg.Connection) -> None:
    """Brings what is in memory into the files."""
    await connection.execute("CHECKPOINT")
