"""Event name and schema version <-> struct: registry, msgpack codec and upcasters. Knows no stream, no key."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar, cast

import msgspec

from eventstore.errors import UnknownEventType

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
E = TypeVar("E", bound=msgspec.Struct)


class EventType(msgspec.Struct, frozen=True):
    """One registered event: stable name, current schema version, and one upcaster per older version."""

    name: str
    struct: type[msgspec.Struct]
    schema_version: int = 1
    #: upcasters[n] turns a version n+1 payload into a version n+2 payload.
    upcasters: tuple[Upcaster, ...] = ()


class Codec:
    """Encodes domain events to msgpack and back by their registered names. Immutable after construction.

    Payload and metadata are msgpack maps by field name, so that additive fields with defaults need no new version.
    """

    def __init__(self, types: Iterable[EventType]) -> None:
        self._by_name: dict[str, EventType] = {}
        self._by_struct: dict[type, EventType] = {}
        self._decoders: dict[tuple[str, int], Callable[[bytes], Any]] = {}
        self._encode = msgspec.msgpack.Encoder().encode
        for event_type in types:
            self._register(event_type)

    def _register(self, event_type: EventType) -> None:
        if event_type.name in self._by_name:
            raise ValueError(f"event name {event_type.name!r} is registered twice")
        if len(event_type.upcasters) != event_type.schema_version - 1:
            raise ValueError(f"{event_type.name} v{event_type.schema_version} needs one upcaster per older version")
        self._by_name[event_type.name] = event_type
        self._by_struct[event_type.struct] = event_type
        current = msgspec.msgpack.Decoder(event_type.struct).decode
        self._decoders[event_type.name, event_type.schema_version] = current
        for version in range(1, event_type.schema_version):
            self._decoders[event_type.name, version] = _upcasting_decoder(event_type, version)

    def encode(self, event: object) -> tuple[str, int, bytes]:
        """(name, schema version, payload) of an event. Raises KeyError for a struct that nobody registered."""
        event_type = self._by_struct[type(event)]
        return event_type.name, event_type.schema_version, self._encode(event)

    def decode(self, name: str, schema_version: int, payload: bytes) -> Any:
        """Raises UnknownEventType where this code is older than the log, msgspec.DecodeError on a broken payload."""
        decoder = self._decoders.get((name, schema_version))
        if decoder is None:
            raise UnknownEventType(name, schema_version)
        return decoder(payload)

    def __iter__(self) -> Iterator[EventType]:
        return iter(self._by_name.values())


def _upcasting_decoder(event_type: EventType, version: int) -> Callable[[bytes], Any]:
    steps = event_type.upcasters[version - 1 :]
    raw = msgspec.msgpack.Decoder()

    def decode(payload: bytes) -> Any:
        fields = cast("dict[str, Any]", raw.decode(payload))
        for step in steps:
            fields = step(fields)
        return msgspec.convert(fields, event_type.struct, strict=False)

    return decode
