"""Every event version ever registered stays readable and keeps its meaning: stored payloads of the past are decoded.

A failure here means that the log of an installation could not be read any more, or would be read as something else.
A new event or version gets its file from `python -m tests.golden`. A file that is there is never rewritten: a shape
that changes needs a new schema version with an upcaster. Only what no release ever wrote may be deleted and made anew.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contacts.catalog import CODEC
from eventstore.codec import EventType
from tests.golden.__main__ import FOLDER, path_of

EVENT_TYPES = list(CODEC)
FILES = sorted(FOLDER.glob("*.json"))


def identity(path: Path) -> tuple[str, int]:
    name, _, version = path.stem.rpartition(".v")
    return name, int(version)


@pytest.mark.parametrize("event_type", EVENT_TYPES, ids=lambda event_type: event_type.name)
def test_every_version_of_every_event_has_a_golden_payload(event_type: EventType) -> None:
    for version in range(1, event_type.schema_version + 1):
        path = path_of(event_type.name, version)
        assert path.exists(), f"{path.name} is missing: run `python -m tests.golden`"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_golden_payload_is_read_with_its_meaning(path: Path) -> None:
    for label, golden in json.loads(path.read_text(encoding="utf-8")).items():
        event = CODEC.decode(*identity(path), bytes.fromhex(golden["payload"]))
        means = json.loads(msgspec.json.encode(event))
        assert lost(golden["means"], means) == {}, f"{label} of {path.stem} has lost what it meant"


def lost(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """What was said then and is not now; fields that were added since are no loss."""
    return {name: value for name, value in before.items() if now.get(name) != value}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_event_that_was_ever_registered_is_forgotten(path: Path) -> None:
    name, version = identity(path)
    known = {event_type.name: event_type.schema_version for event_type in EVENT_TYPES}
    assert name in known, f"{name} is in the logs of installations: it must stay registered"
    assert version <= known[name], f"{name} has gone back to version {known[name]}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_was_read_is_written_and_read_again_as_the_same(path: Path) -> None:
    for golden in json.loads(path.read_text(encoding="utf-8")).values():
        event = CODEC.decode(*identity(path), bytes.fromhex(golden["payload"]))
        assert CODEC.decode(*CODEC.encode(event)) == event


def test_a_field_that_got_another_name_is_noticed() -> None:
    """The planted bug: `additive` changes only add."""
    before = {"first_name": "Ada", "tags": ["x"]}
    assert lost(before, {"given_name": "Ada", "tags": ["x"]}) == {"first_name": "Ada"}
    assert lost(before, {**before, "added": None}) == {}
