"""What a contact has absorbed and did since: the part of its state that only merged contacts have. Shows no profile."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from contacts.contact import events as e

#: Fields of `ContactDetailsChanged` that are the new value itself.
PLAIN_FIELDS: Final = (
    "external_id",
    "messaging_id",
    "first_name",
    "last_name",
    "email",
    "phone",
    "country",
    "time_zone",
    "language",
    "address",
    "location",
    "avatar_url",
    "assignee",
    "campaign_opt_in",
)
#: A custom attribute in choices and in `Composition.touched`.
ATTRIBUTE_PREFIX: Final = "attributes."


class Edge(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An absorbed contact, and the merge that absorbed it."""

    child: UUID
    merge_id: UUID


class Absorption(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One merge into this contact, as far as it was not taken apart."""

    #: The own version that it made.
    version: int
    #: In the order in which they fill what is empty. Some may have come by a merge into one that has left since.
    edges: tuple[Edge, ...]
    #: Whose value is shown, by field.
    choices: dict[str, UUID] = {}


class Composition(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Kept from the first merge on, until nothing absorbed is left."""

    #: Oldest first, never none.
    absorptions: tuple[Absorption, ...]
    #: Own version that last set a field, took an element out of a set or connected a channel, by `touch_key`. It
    #: outweighs what an older absorption brings.
    touched: dict[str, int] = {}
    #: Own version and time at which the person showed up on a channel, by `touch_key`.
    seen: dict[str, tuple[int, datetime]] = {}

    @property
    def edges(self) -> Iterator[Edge]:
        return (edge for absorption in self.absorptions for edge in absorption.edges)

    @property
    def children(self) -> Iterator[UUID]:
        return (edge.child for edge in self.edges)


def touch_key(field: str, *element: object) -> str:
    """A field, an attribute or an element of a set, as `touched` and `seen` know it. Tags are the same in any case."""
    if field == "tags":
        element = tuple(str(part).casefold() for part in element)
    # No text holds a control character, so that no two keys can be the same by chance.
    return "\x1f".join((field, *("" if part is None else str(part) for part in element)))


def with_merge(composition: Composition | None, event: e.ContactMerged, version: int) -> Composition:
    """What it is after absorbing others."""
    edges = tuple(Edge(other, event.merge_id) for other in event.others)
    absorption = Absorption(version=version, edges=edges, choices=event.choices)
    if composition is None:
        return Composition(absorptions=(absorption,))
    return replace(composition, absorptions=(*composition.absorptions, absorption))


def without(composition: Composition | None, event: e.ContactUnmerged) -> Composition | None:
    """What it is after others came out of it; None where nothing is left. What it does not hold changes nothing."""
    if composition is None:
        return None
    gone = {Edge(contact, event.merge_id) for contact in event.contacts}
    kept = []
    for absorption in composition.absorptions:
        edges = tuple(_after_unmerge(absorption, gone, event.reattached))
        if edges:
            kept.append(replace(absorption, edges=edges))
    if not kept:
        return None
    touched = {key: version for key in composition.touched if (version := _touched(composition, event, key))}
    return replace(composition, absorptions=tuple(kept), touched=touched)


def _after_unmerge(absorption: Absorption, gone: set[Edge], reattached: tuple[e.Reattached, ...]) -> Iterator[Edge]:
    for edge in absorption.edges:
        if edge not in gone:
            yield edge
        else:
            yield from (Edge(r.contact, r.merge_id) for r in reattached if r.instead_of == edge.child)


def _touched(composition: Composition, event: e.ContactUnmerged, key: str) -> int:
    given = event.given.get(key)
    return composition.touched[key] if given is None else given.touched


def touched(composition: Composition, event: Any, version: int) -> Composition:
    """What it is after one of its own facts."""
    if isinstance(event, e.ContactChannelSeen):
        key = touch_key("channels", event.kind, event.application, event.token)
        return replace(composition, seen={**composition.seen, key: (version, event.seen_at)})
    keys = dict.fromkeys(_touch_keys(event), version)
    return replace(composition, touched={**composition.touched, **keys}) if keys else composition


def _touch_keys(event: Any) -> Iterator[str]:
    """Only what a profile could otherwise take from an absorbed contact: that an element was added shows by itself."""
    match event:
        case e.ContactDetailsChanged():
            yield from (name for name in PLAIN_FIELDS if getattr(event, name) is not UNSET)
            if event.attributes is not UNSET:
                yield from (ATTRIBUTE_PREFIX + key for key in event.attributes)
            yield from (touch_key("lists", element) for element in event.lists_removed)
            yield from (touch_key("categories", element) for element in event.categories_removed)
        case e.ContactUntagged():
            yield from (touch_key("tags", tag) for tag in event.tags)
        case e.ContactUnlisted():
            yield from (touch_key("lists", element) for element in event.lists)
        case e.ContactChannelConnected():
            yield touch_key("channels", *event.channel.key)
        case e.ContactChannelDisconnected():
            yield touch_key("channels", event.kind, event.application, event.token)
