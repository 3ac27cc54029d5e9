"""The consent ledger of addresses as a file: everything that was agreed and withdrawn, to be verified offline.

JSON lines: a header, one line per event in the order of the log, an end. Every line holds the hash of the one before,
so nothing can be changed, left out or put in without the end showing it; the end is signed. `consent/verify.py` checks
a file with nothing but Python.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from contacts.addresses import Address, address_id
from contacts.consent import record
from eventstore.cipher import Keyring
from eventstore.envelope import RecordedEvent, Stream, Unreadable
from eventstore.store import EventStore

FORMAT: Final = "rollbook-consent-ledger/1"


class LedgerKey:
    """Signs ledgers; the same for as long as the oldest master key is, so that a public key can be kept."""

    def __init__(self, keyring: Keyring) -> None:
        seed = keyring.hmac("ledger", "signature, first half") + keyring.hmac("ledger", "signature, second half")
        self._key = Ed25519PrivateKey.from_private_bytes(seed)

    @property
    def public_key(self) -> str:
        return self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()

    def sign(self, message: bytes) -> str:
        return self._key.sign(message).hex()


class Ledgers:
    """Exports ledgers straight from the log. Safe to use concurrently."""

    def __init__(self, store: EventStore, key: LedgerKey) -> None:
        self._store = store
        self._key = key

    async def export(
        self, workspace_id: UUID, addresses: Sequence[Address], *, contact_id: UUID | None, now: datetime
    ) -> bytes:
        """All that the workspace recorded of these addresses, up to now. Proof that was destroyed says so."""
        lane = self._store.lane_of(workspace_id)
        position = await self._store.head(lane)
        ids = {address_id(workspace_id, address.widest): address for address in addresses}
        streams = [Stream(workspace_id, category, id_) for id_ in ids for category in record.CATEGORIES]
        read = await self._store.read_streams(streams) if streams else {}
        events = [event for each in read.values() for event in each if event.position <= position]
        header = {
            "format": FORMAT,
            "workspace": str(workspace_id),
            "contact": None if contact_id is None else str(contact_id),
            "addresses": [{"stream": str(id_), "family": a.family, "address": a.text} for id_, a in ids.items()],
            "exported_at": now.astimezone(UTC).isoformat(),
            "position": f"{lane}.{position}",
        }
        return b"".join(self._lines(header, sorted(events, key=lambda event: event.position)))

    def _lines(self, header: dict[str, Any], events: Iterable[RecordedEvent[Any]]) -> Iterator[bytes]:
        previous, entries = "", 0
        for line in (header, *map(_entry, events)):
            text = canonical({**line, "previous": previous})
            yield text + b"\n"
            previous, entries = sha256(text).hexdigest(), entries + 1
        end = canonical({"entries": entries - 1, "previous": previous})
        yield canonical({"end": json.loads(end), "public_key": self._key.public_key, "signature": self._key.sign(end)})
        yield b"\n"


def canonical(line: dict[str, Any]) -> bytes:
    """One way to write an object, which the verifier repeats: keys in order, no blanks, ASCII only."""
    return json.dumps(line, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def _entry(event: RecordedEvent[Any]) -> dict[str, Any]:
    metadata = event.metadata
    return {
        "event": event.type,
        "event_id": str(event.event_id),
        "stream": str(event.stream_id),
        "kind": event.category,
        "version": event.version,
        "position": f"{event.lane}.{event.position}",
        "recorded_at": event.recorded_at.astimezone(UTC).isoformat(),
        "actor": metadata.actor,
        "source": metadata.source,
        "data": None if isinstance(event.event, Unreadable) else _data(event.event),
    }


def _data(event: msgspec.Struct) -> dict[str, Any]:
    """Digests as hex, so that those who have the key can compare them."""
    fields = msgspec.to_builtins(event, builtin_types=(bytes,))
    return {name: value.hex() if isinstance(value, bytes) else value for name, value in fields.items()}
