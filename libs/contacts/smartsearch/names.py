"""What a caller may have meant by a name there is none of."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

#: Longer ones are compared with nothing.
NAME_MAX: Final = 60
SHOWN_MAX: Final = 30


def expected_name(name: str, known: Iterable[str]) -> str:
    """`one of a, b, c`, or of those only that are spelt nearly as `name` is."""
    names = list(known)
    near = get_close_matches(name.lower(), names, n=3, cutoff=0.7) if len(name) <= NAME_MAX else []
    if near:
        return "perhaps " + " or ".join(near)
    shown = ", ".join(names[:SHOWN_MAX])
    return f"one of {shown}" + (", …" if len(names) > SHOWN_MAX else "")


def shown_name(name: str) -> str:
    """A name of a caller's as a message may repeat it."""
    plain = "".join(character if character.isprintable() else "?" for character in name[:NAME_MAX])
    return f"{plain!r}" if len(name) <= NAME_MAX else f"{plain + '…'!r}"


def pointer_part(key: str) -> str:
    """RFC 6901; a pointer that repeats a key of the caller's stays short."""
    return key[:100].encode("utf-8", "replace").decode().replace("~", "~0").replace("/", "~1")
