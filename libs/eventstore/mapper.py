"""Stored events of the `eventsourcing` library <-> domain events by registered name, with replay. No database here."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Generic, TypeVar, cast
from uuid import UUID

import msgspec
from eventsourcing.domain import CanSnapshotAggregate, DomainEventProtocol
from eventsourcing.persistence import (
    Cipher,
    Compressor,
    Mapper,
    MapperDeserialisationError,
    StoredEvent,
    Transcoder,
)
from eventsourcing.utils import TopicError, _topic_cache, resolve_topic

from eventstore.codec import Codec
from eventstore.envelope import Metadata, RecordedEvent, Stream, Unreadable
from eventstore.errors import EventStoreError

S = TypeVar("S")


class UnknownTopic(EventStoreError, TopicError):
    """The log names a type that this program has neither registered nor loaded; reading must hold, not import it."""

    def __init__(self, topic: str) -> None:
        super().__init__(f"topic {topic!r} is neither a registered event name nor a class loaded by this program")
        self.topic = topic


class Envelope(msgspec.Struct, frozen=True, array_like=True):
    """Where and when the log recorded an event that did not come in through the library."""

    lane: int
    position: int
    workspace_id: UUID
    category: str
    event_id: UUID
    recorded_at: datetime
    metadata: Metadata


class State(msgspec.Struct, frozen=True, array_like=True):
    """The `state` of a stored event with a registered name: enough to decode it anywhere, also behind a remote log."""

    schema_version: int
    #: None where the data key was destroyed.
    payload: bytes | None
    #: None for an event of the library's own making, which carries its originator itself.
    envelope: Envelope | None = None


encode_state = msgspec.msgpack.Encoder().encode
_decode_state = msgspec.msgpack.Decoder(State).decode


class Fold(msgspec.Struct, Generic[S], frozen=True):
    """How the events of one category replay: the pure functions that the write side uses as well."""

    initial: Callable[[UUID], S]
    evolve: Callable[[S, RecordedEvent[Any]], S]


class Replayed(msgspec.Struct, Generic[S], frozen=True, kw_only=True):
    """A replayed stream as the library's `Repository` returns it: an immutable aggregate around the folded state."""

    stream: Stream
    version: int
    state: S

    @property
    def id(self) -> UUID:
        return self.stream.id


class ReplayableEvent(RecordedEvent[Any], frozen=True, kw_only=True):
    """A recorded event that knows its fold, so that the library's default projector can replay its stream."""

    fold: Fold[Any]

    def mutate(self, aggregate: Replayed[Any] | None) -> Replayed[Any]:
        """Raises ValueError where the event does not follow the aggregate's version: nothing is skipped in a replay."""
        version = 0 if aggregate is None else aggregate.version
        if self.version != version + 1:
            raise ValueError(f"{self.stream}: version {self.version} cannot follow version {version}")
        state = self.fold.initial(self.stream_id) if aggregate is None else aggregate.state
        return Replayed(stream=self.stream, version=self.version, state=self.fold.evolve(state, self))


class MsgspecMapper(Mapper[UUID]):
    """Maps registered event names through the codec, and the library's own event classes as its stock mapper does.

    Upcasting is the codec's. A topic never makes this process import a module: it is a registered name, a topic that
    was registered with the library, or a class of a module that is loaded already; anything else raises UnknownTopic.
    """

    def __init__(
        self,
        transcoder: Transcoder,
        compressor: Compressor | None = None,
        cipher: Cipher | None = None,
        *,
        codec: Codec | None = None,
        folds: Mapping[str, Fold[Any]] | None = None,
    ) -> None:
        """`folds` by category; events of other categories decode as well, but the caller brings the projector."""
        super().__init__(transcoder, compressor, cipher)
        self._codec = codec or Codec(())
        self._names = frozenset(event_type.name for event_type in self._codec)
        self._structs: frozenset[type] = frozenset(event_type.struct for event_type in self._codec)
        self._folds = dict(folds or {})

    def to_stored_event(self, domain_event: DomainEventProtocol[UUID]) -> StoredEvent:
        if isinstance(domain_event, RecordedEvent):
            raise TypeError(f"{domain_event.type} is in the log already; new facts come from a decider or an aggregate")
        if type(domain_event) not in self._structs:
            return super().to_stored_event(domain_event)
        name, schema_version, payload = self._codec.encode(domain_event)
        state = encode_state(State(schema_version, payload))
        return StoredEvent(
            originator_id=domain_event.originator_id,
            originator_version=domain_event.originator_version,
            topic=name,
            state=self._close(state),
        )

    def to_domain_event(self, stored_event: StoredEvent) -> DomainEventProtocol[UUID]:
        if stored_event.topic in self._names:
            return self._decode(stored_event)
        _check_loaded(stored_event.topic)
        domain_event = super().to_domain_event(stored_event)
        if isinstance(domain_event, CanSnapshotAggregate):
            _check_loaded(domain_event.topic)
        return domain_event

    def _decode(self, stored_event: StoredEvent) -> DomainEventProtocol[UUID]:
        try:
            state = self._open(stored_event.state)
            event = self._content(stored_event.topic, state)
        except (msgspec.MsgspecError, ValueError) as error:
            where = f"{stored_event.topic} of {stored_event.originator_id} at {stored_event.originator_version}"
            raise MapperDeserialisationError(f"cannot read {where}: {type(error).__name__}") from error
        if state.envelope is None:
            return cast("DomainEventProtocol[UUID]", event)
        return cast("DomainEventProtocol[UUID]", self._recorded(stored_event, state, state.envelope, event))

    def _content(self, topic: str, state: State) -> Any:
        if state.payload is None:
            return Unreadable(type=topic)
        return self._codec.decode(topic, state.schema_version, state.payload)

    def _recorded(self, stored: StoredEvent, state: State, envelope: Envelope, event: object) -> RecordedEvent[Any]:
        fields: dict[str, Any] = {name: getattr(envelope, name) for name in envelope.__struct_fields__}
        fields |= {
            "stream_id": stored.originator_id,
            "version": stored.originator_version,
            "type": stored.topic,
            "schema_version": state.schema_version,
            "event": event,
        }
        fold = self._folds.get(envelope.category)
        return RecordedEvent(**fields) if fold is None else ReplayableEvent(**fields, fold=fold)

    def _close(self, state: bytes) -> bytes:
        if self.compressor:
            state = self.compressor.compress(state)
        return self.cipher.encrypt(state) if self.cipher else state

    def _open(self, state: bytes) -> State:
        if self.cipher:
            state = self.cipher.decrypt(state)
        return _decode_state(self.compressor.decompress(state) if self.compressor else state)


def _check_loaded(topic: str) -> None:
    module, _, _ = topic.partition(":")
    known = topic in _topic_cache or module in sys.modules
    if not known or not isinstance(resolve_topic(topic), type):
        raise UnknownTopic(topic)
