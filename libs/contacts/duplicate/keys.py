"""How groups and pairs are named: in addresses of the API, and in the log, which must not tell whom they are of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, TypeAlias, get_args
from uuid import UUID

#: By what contacts are duplicates of one another.
By: TypeAlias = Literal["email", "phone", "likely"]
#: A kind of address that several contacts can have.
AddressKind: TypeAlias = Literal["email", "phone"]

ADDRESS_KINDS: Final[tuple[AddressKind, ...]] = get_args(AddressKind)
LIKELY: Final = "likely"
#: In the table of totals: present contacts, who make a likeness the less telling the more they are.
CANDIDATES: Final = "candidates"
_SEPARATOR: Final = "_"


def pair_of(a: UUID, b: UUID) -> tuple[UUID, UUID]:
    """In the order in which a pair is kept."""
    return (a, b) if a.int < b.int else (b, a)


def pair_key(first: UUID, second: UUID) -> str:
    """`<id>_<id>`, the lower one first."""
    return _SEPARATOR.join(map(str, pair_of(first, second)))


def parse_pair_key(text: str) -> tuple[UUID, UUID] | None:
    """The pair, whichever comes first in `text`; None where it is no pair of different ids."""
    one, _, other = text.partition(_SEPARATOR)
    try:
        first, second = pair_of(UUID(one), UUID(other))
    except ValueError:
        return None
    return None if first == second else (first, second)


class DismissalIds:
    """Makes ids of the streams in which groups and pairs are dismissed, with the installation's key.

    An address cannot be guessed from one without that key, and outlives the erasure of those who had it as little as
    any other digest does.
    """

    def __init__(self, hmac: Callable[[str, str], bytes]) -> None:
        self._hmac = hmac

    def of(self, workspace_id: UUID, by: By, key: str) -> UUID:
        """`key` is a normal address or a `pair_key`."""
        return UUID(bytes=self._hmac("duplicate", f"{workspace_id.hex}/{by}/{key}"))
