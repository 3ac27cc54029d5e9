"""Keeps the identity read model: whose a channel identity is. E-mails and phones are in the contact read model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from uuid import UUID

from contacts.activity.projection import ERASED
from contacts.contact import events as e
from eventstore.projection import Projection
from eventstore.sql import load

if TYPE_CHECKING:
    from eventstore.envelope import RecordedEvent
    from eventstore.projection import Connection

#: Workspace, digest, application, contact.
Key: TypeAlias = tuple[UUID, bytes, str, UUID]
DIGEST_BYTES: Final = 16

SQL: Final = load("contacts.activity", "identity.sql")


def identity_digest(kind: str, token: str) -> bytes:
    """Under which a channel identity is kept; it hides nothing."""
    return sha256(f"{kind}\x1f{token}".encode()).digest()[:DIGEST_BYTES]


class IdentityProjection(Projection):
    """Rows of `identity`. Every event says all that it changes, so nothing is loaded, and repeats change nothing."""

    name = "identity"
    version = 1
    stands_back_s = 0.01
    types = frozenset({"contact.created", "contact.channel_connected", "contact.channel_disconnected", ERASED})
    schema_sql = files("contacts.activity").joinpath("identity_schema.sql").read_text(encoding="utf-8")
    # For `forget`.
    index_sql = "CREATE INDEX identity_contact ON identity (workspace_id, contact_id);\n"

    async def apply(self, connection: Connection, events: Sequence[RecordedEvent[Any]], *, fresh: bool) -> None:
        connected: dict[Key, bool] = {}
        for event in events:
            connected.update(_changes(event))
        erased = {event.stream_id: event.workspace_id for event in events if event.type == ERASED}
        for statement, wanted in (("connect", True), ("disconnect", False)):
            keys = [key for key, is_connected in connected.items() if is_connected == wanted]
            if keys:
                await connection.execute(SQL[statement], *map(list, zip(*keys, strict=True)))
        if erased:
            await connection.execute(SQL["forget"], list(erased.values()), list(erased))


def _changes(recorded: RecordedEvent[Any]) -> Iterator[tuple[Key, bool]]:
    match recorded.event:
        case e.ContactCreated(channels=channels):
            for channel in channels:
                yield _key(recorded, channel.kind, channel.token, channel.application), True
        case e.ContactChannelConnected(channel=channel):
            yield _key(recorded, channel.kind, channel.token, channel.application), True
        case e.ContactChannelDisconnected(kind=kind, token=token, application=application):
            yield _key(recorded, kind, token, application), False


def _key(recorded: RecordedEvent[Any], kind: str, token: str, application: str | None) -> Key:
    return recorded.workspace_id, identity_digest(kind, token), application or "", recorded.stream_id
