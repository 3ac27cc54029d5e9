"""The mapper between the library's stored events and domain events, without a database."""

from __future__ import annotations

import sys
import zlib
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID, uuid4

import msgspec
import pytest
from eventsourcing.cipher import AESCipher
from eventsourcing.domain import Aggregate, DomainEventProtocol, Snapshot
from eventsourcing.persistence import (
    Compressor,
    DatetimeAsISO,
    JSONTranscoder,
    MapperDeserialisationError,
    StoredEvent,
    UUIDAsHex,
)
from eventsourcing.utils import Environment, register_topic

from eventstore.codec import Codec, EventType
from eventstore.envelope import Metadata, RecordedEvent, Unreadable
from eventstore.errors import UnknownEventType
from eventstore.mapper import Envelope, Fold, MsgspecMapper, Replayed, State, UnknownTopic, encode_state

DOOR = uuid4()


class DoorOpened(msgspec.Struct, frozen=True, kw_only=True):
    """Written by an application of the library: it carries its originator itself."""

    originator_id: UUID
    originator_version: int
    by: str
    loudly: bool


class DoorClosed(msgspec.Struct, frozen=True, kw_only=True):
    """Written by our own store: the log says where it stands."""

    by: str


def from_v1(fields: dict[str, Any]) -> dict[str, Any]:
    return fields | {"loudly": False}


CODEC = Codec((EventType("door.opened", DoorOpened, 2, (from_v1,)), EventType("door.closed", DoorClosed)))


def count(state: tuple[str, ...], recorded: RecordedEvent[Any]) -> tuple[str, ...]:
    return (*state, recorded.type)


def mapper(**options: Any) -> MsgspecMapper:
    transcoder = JSONTranscoder()
    transcoder.register(UUIDAsHex())
    transcoder.register(DatetimeAsISO())
    return MsgspecMapper(transcoder, codec=CODEC, folds={"door": Fold(lambda _: (), count)}, **options)


RECORDED_AT = datetime(2026, 3, 1, tzinfo=UTC)


def recorded(version: int, payload: bytes | None = None, category: str = "door") -> StoredEvent:
    envelope = Envelope(0, 40 + version, uuid4(), category, uuid4(), RECORDED_AT, Metadata(actor="user:1"))
    content = msgspec.msgpack.encode(DoorClosed(by="Bo")) if payload is None else payload
    return StoredEvent(DOOR, version, "door.closed", encode_state(State(1, content, envelope)))


def test_a_registered_event_comes_back_as_it_was_saved() -> None:
    opened = DoorOpened(originator_id=DOOR, originator_version=1, by="Ann", loudly=True)
    stored = mapper().to_stored_event(opened)
    assert (stored.originator_id, stored.originator_version, stored.topic) == (DOOR, 1, "door.opened")
    assert mapper().to_domain_event(stored) == opened


def test_the_librarys_cipher_and_compressor_work_on_registered_events() -> None:
    cipher = AESCipher(Environment(env={"CIPHER_KEY": AESCipher.create_key(32)}))
    options = {"cipher": cipher, "compressor": cast("Compressor", zlib)}
    opened = DoorOpened(originator_id=DOOR, originator_version=1, by="Ann", loudly=True)
    stored = mapper(**options).to_stored_event(opened)
    assert b"Ann" not in stored.state
    assert mapper(**options).to_domain_event(stored) == opened
    with pytest.raises(MapperDeserialisationError, match=r"door\.opened"):
        mapper().to_domain_event(stored)


def test_an_old_payload_is_upcast_by_the_codec() -> None:
    payload = msgspec.msgpack.encode({"originator_id": DOOR, "originator_version": 7, "by": "Ann"})
    stored = StoredEvent(DOOR, 7, "door.opened", encode_state(State(1, payload)))
    expected = DoorOpened(originator_id=DOOR, originator_version=7, by="Ann", loudly=False)
    assert mapper().to_domain_event(stored) == expected


def test_a_newer_payload_than_this_code_is_held() -> None:
    with pytest.raises(UnknownEventType, match="schema version 9"):
        mapper().to_domain_event(StoredEvent(DOOR, 1, "door.opened", encode_state(State(9, b"\x80"))))


def test_an_error_says_which_event_and_nothing_of_its_content() -> None:
    with pytest.raises(MapperDeserialisationError) as caught:
        mapper().to_domain_event(recorded(3, payload=msgspec.msgpack.encode({"by": ["secret"]})))
    assert "door.closed" in str(caught.value)
    assert str(DOOR) in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_recorded_event_keeps_its_place_in_the_log() -> None:
    event = mapper().to_domain_event(recorded(2, category="window"))
    assert isinstance(event, RecordedEvent)
    assert isinstance(event, DomainEventProtocol)
    assert (event.originator_id, event.originator_version) == (DOOR, 2)
    assert (event.position, event.category, event.type, event.event) == (
        42,
        "window",
        "door.closed",
        DoorClosed(by="Bo"),
    )
    assert event.metadata == Metadata(actor="user:1")


def test_an_erased_event_is_unreadable_in_its_place() -> None:
    stored = recorded(1)
    state = msgspec.msgpack.decode(stored.state, type=State)
    erased = StoredEvent(DOOR, 1, "door.closed", encode_state(State(1, None, state.envelope)))
    event = mapper().to_domain_event(erased)
    assert isinstance(event, RecordedEvent)
    assert event.event == Unreadable(type="door.closed")


def replay(*stored: StoredEvent) -> Replayed[Any]:
    aggregate: Any = None
    for one in stored:
        aggregate = cast("Any", mapper().to_domain_event(one)).mutate(aggregate)
    return cast("Replayed[Any]", aggregate)


def test_recorded_events_with_a_fold_replay() -> None:
    replayed = replay(recorded(1), recorded(2))
    assert (replayed.id, replayed.version, replayed.state) == (DOOR, 2, ("door.closed", "door.closed"))


def test_a_replay_skips_nothing() -> None:
    with pytest.raises(ValueError, match="version 3 cannot follow version 1"):
        replay(recorded(1), recorded(3))


def test_what_is_in_the_log_is_not_saved_again() -> None:
    with pytest.raises(TypeError, match="in the log already"):
        mapper().to_stored_event(mapper().to_domain_event(recorded(1)))


class Gate(Aggregate):
    """Of the library's own kind."""


def test_the_librarys_own_events_are_mapped_as_its_stock_mapper_does() -> None:
    created = Gate().collect_events()[0]
    assert mapper().to_domain_event(mapper().to_stored_event(created)) == created


@pytest.mark.parametrize("topic", ["this:c", "xml.dom.pulldom:PullDOM", "door.slammed", "", "nowhere:Nothing"])
def test_a_topic_never_imports_a_module(topic: str) -> None:
    module = topic.partition(":")[0]
    assert module not in sys.modules
    with pytest.raises(UnknownTopic):
        mapper().to_domain_event(StoredEvent(DOOR, 1, topic, b"{}"))
    assert module not in sys.modules


@pytest.mark.parametrize("topic", ["os:system", "sys:modules", "zlib"])
def test_a_topic_of_something_loaded_that_is_no_class_is_refused(topic: str) -> None:
    with pytest.raises(UnknownTopic):
        mapper().to_domain_event(StoredEvent(DOOR, 1, topic, b"{}"))


def test_a_snapshot_cannot_name_a_module_to_import_either() -> None:
    snapshot = Snapshot(DOOR, 3, RECORDED_AT, topic="this:c", state={})
    stored = mapper().to_stored_event(snapshot)
    with pytest.raises(UnknownTopic, match="this:c"):
        mapper().to_domain_event(stored)
    assert "this" not in sys.modules


def test_a_topic_registered_for_a_renamed_class_still_resolves() -> None:
    register_topic("old.gates:Gate.Created", Gate.Created)
    created = Gate().collect_events()[0]
    stored = mapper().to_stored_event(created)
    old = StoredEvent(stored.originator_id, stored.originator_version, "old.gates:Gate.Created", stored.state)
    assert mapper().to_domain_event(old) == created
