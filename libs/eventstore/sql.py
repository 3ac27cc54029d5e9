"""Named SQL statements from the `.sql` file beside a module; it never builds SQL."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

import asyncpg
from asyncpg.pool import PoolConnectionProxy

AnyConnection = asyncpg.Connection | PoolConnectionProxy
"""A connection of its own or one lent by a pool."""

_NAME = re.compile(r"^-- (\w+) --$", re.MULTILINE)


@cache
def load(package: str, file: str) -> dict[str, str]:
    """Statements of `file` by name: a line `-- name --` opens each, comment lines under it describe it.

    Raises ValueError for a name given twice or text before the first name that is not a comment.
    """
    parts = _NAME.split(files(package).joinpath(file).read_text(encoding="utf-8"))
    if any(line.strip() and not line.startswith("--") for line in parts[0].splitlines()):
        raise ValueError(f"{package}/{file}: SQL before the first name")
    statements: dict[str, str] = {}
    for name, text in zip(parts[1::2], parts[2::2], strict=True):
        if name in statements:
            raise ValueError(f"{package}/{file}: {name} is there twice")
        statements[name] = _without_comments(text)
    return statements


def _without_comments(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if line.strip() and not line.startswith("--")).rstrip(";")
