"""The catalogue of events: every one is described, and every payload ever released stays readable."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contacts import catalog
from contacts.catalog import CODEC, EVENT_TYPES
from eventstore.codec import EventType

GOLDEN = json.loads(Path(__file__).with_name("golden_events.json").read_text())
README = Path(catalog.__file__).with_name("README.md").read_text()


def test_the_readme_says_of_every_event_what_it_means_and_who_reads_it() -> None:
    described = re.findall(r"^\| `([a-z_.]+)` \| .+ \| .+ \|$", README, re.MULTILINE)
    assert sorted(described) == sorted(event_type.name for event_type in EVENT_TYPES)


def test_every_released_version_of_every_event_has_a_payload_in_the_archive() -> None:
    released = {
        f"{event_type.name} v{version}"
        for event_type in EVENT_TYPES
        for version in range(1, event_type.schema_version + 1)
    }
    assert set(GOLDEN) == released


@pytest.mark.parametrize("name", GOLDEN)
def test_an_archived_payload_is_read_as_it_always_was(name: str) -> None:
    event_name, _, version = name.partition(" v")
    event = CODEC.decode(event_name, int(version), bytes.fromhex(GOLDEN[name]["payload"]))
    found = json.loads(msgspec.json.encode(event))
    expected = GOLDEN[name]["event"]
    # New fields may have come, with defaults; what was there is there.
    assert {field: found.get(field) for field in expected} == expected


@pytest.mark.parametrize("event_type", EVENT_TYPES, ids=lambda event_type: event_type.name)
def test_events_are_immutable_and_small(event_type: EventType) -> None:
    config: Any = event_type.struct.__struct_config__
    assert config.frozen
    assert config.omit_defaults
