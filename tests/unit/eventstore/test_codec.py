"""Names, schema versions and upcasters of events."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from eventstore.codec import Codec, EventType
from eventstore.errors import UnknownEventType


class Named(msgspec.Struct, frozen=True):
    first: str
    last: str = ""
    at: datetime | None = None
    by: UUID | None = None


class Other(msgspec.Struct, frozen=True):
    pass


def split_name(fields: dict[str, Any]) -> dict[str, Any]:
    first, _, last = fields.pop("name").partition(" ")
    return {**fields, "first": first, "last": last}


def trim(fields: dict[str, Any]) -> dict[str, Any]:
    return {**fields, "first": str.strip(fields["first"])}


CODEC = Codec([EventType("named", Named, schema_version=3, upcasters=(split_name, trim)), EventType("other", Other)])


def test_an_event_is_stored_under_its_name_and_current_version() -> None:
    event = Named("Ada", "Lovelace", datetime(2026, 1, 1, tzinfo=UTC), uuid4())
    name, version, payload = CODEC.encode(event)
    assert (name, version) == ("named", 3)
    assert CODEC.decode(name, version, payload) == event


def test_each_older_version_takes_the_steps_it_lacks_and_no_other() -> None:
    at, by = datetime(2026, 1, 1, tzinfo=UTC), uuid4()
    stored = {1: {"name": "Ada Lovelace"}, 2: {"first": " Ada ", "last": "L"}, 3: {"first": " Ada ", "last": "L"}}
    read = {
        version: CODEC.decode("named", version, msgspec.msgpack.encode({**fields, "at": at, "by": by}))
        for version, fields in stored.items()
    }
    assert read == {
        1: Named("Ada", "Lovelace", at, by), 2: Named("Ada", "L", at, by), 3: Named(" Ada ", "L", at, by),
    }  # fmt: skip


@pytest.mark.parametrize(("name", "version"), [("unknown", 1), ("named", 4), ("named", 0), ("other", 2), ("", 1)])
def test_what_this_code_does_not_know_is_an_error_never_a_guess(name: str, version: int) -> None:
    with pytest.raises(UnknownEventType) as unknown:
        CODEC.decode(name, version, b"\x80")
    assert (unknown.value.type, unknown.value.schema_version) == (name, version)


@pytest.mark.parametrize("payload", [b"", b"\x80", b"\xc1", b"\x81\xa5first\x01", b"\xff" * 100])
@pytest.mark.parametrize("version", [2, 3])
def test_a_broken_payload_is_an_error(payload: bytes, version: int) -> None:
    with pytest.raises((msgspec.MsgspecError, KeyError, TypeError)):
        CODEC.decode("named", version, payload)


def test_fields_that_were_added_since_get_their_defaults_and_later_ones_are_ignored() -> None:
    payload = msgspec.msgpack.encode({"first": "Ada", "from_the_future": [1, 2]})
    assert CODEC.decode("named", 3, payload) == Named("Ada")


def test_a_struct_that_nobody_registered_cannot_be_stored() -> None:
    class Stranger(msgspec.Struct):
        pass

    with pytest.raises(KeyError):
        CODEC.encode(Stranger())


def test_a_name_is_registered_once() -> None:
    with pytest.raises(ValueError, match="registered twice"):
        Codec([EventType("named", Named), EventType("named", Other)])


@pytest.mark.parametrize(("version", "upcasters"), [(1, (trim,)), (2, ()), (3, (trim,))])
def test_every_older_version_needs_exactly_one_upcaster(version: int, upcasters: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match="one upcaster per older version"):
        Codec([EventType("named", Named, schema_version=version, upcasters=upcasters)])
