"""What was edited on a merged profile since a contact became part of it, and how such an edit goes with the contact.

Edits stay with the contact they were made on unless an unmerge gives them away: then the one that leaves gets the
value, and the other has again what it had without the edit. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from contacts.contact import events as e
from contacts.contact.composition import ATTRIBUTE_PREFIX, PLAIN_FIELDS, touch_key
from contacts.contact.state import Contact, evolve, initial
from contacts.merge.profile import Profile
from contacts.merge.view import SETS, value_of
from eventstore.envelope import RecordedEvent

T = TypeVar("T")


class Edit(msgspec.Struct, frozen=True, kw_only=True):
    """One field that was edited on a merged profile."""

    #: A plain field, `attributes.<key>`, `tags`, `lists` or `categories`.
    field: str
    #: The contact it was edited on.
    contact: UUID
    now: Any
    #: What that contact itself had when the other one was absorbed.
    before: Any
    #: Of a set: keys (`touch_key`) of the elements that were taken out of the profile.
    removed: frozenset[str] = frozenset()
    #: Keys in `Composition.touched` that it left.
    given: dict[str, e.Given] = {}


def edits(profile: Profile, contact_id: UUID, before: Mapping[UUID, Contact]) -> dict[str, Edit]:
    """By field, what was edited since `contact_id` became part of the profile; `before` has the contacts of its path,
    each as it was when the branch of `contact_id` came to it (`own_at`). Of several edits of a field the shown one."""
    found: dict[str, Edit] = {}
    for contact, absorption in profile.path_to(contact_id):
        then = before[contact.id]
        for edit in (*_values(contact, then, absorption.version), *_sets(contact, then, absorption.version)):
            found.setdefault(edit.field, edit)
    return found


def _values(contact: Contact, then: Contact, absorbed_at: int) -> Iterator[Edit]:
    for field in _touched(contact, absorbed_at):
        if field in PLAIN_FIELDS or field.startswith(ATTRIBUTE_PREFIX):
            now, before = value_of(contact, field), value_of(then, field)
            if now != before:
                given = {field: e.Given(since=absorbed_at, touched=_touched_then(then, field))}
                yield Edit(field=field, contact=contact.id, now=now, before=before, given=given)


def _sets(contact: Contact, then: Contact, absorbed_at: int) -> Iterator[Edit]:
    for field in SETS:
        now, before = _keyed(contact, field), _keyed(then, field)
        touched = {key for key in _touched(contact, absorbed_at) if key.startswith(touch_key(field, ""))}
        added, removed = now.keys() - before.keys(), touched - now.keys()
        if added or removed:
            given = {key: e.Given(since=absorbed_at, touched=_touched_then(then, key)) for key in touched | added}
            yield Edit(
                field=field, contact=contact.id, now=getattr(contact, field), before=getattr(then, field),
                removed=frozenset(removed), given=given,
            )  # fmt: skip


def _touched(contact: Contact, since: int) -> list[str]:
    assert contact.composition is not None
    return [key for key, version in contact.composition.touched.items() if version > since]


def _touched_then(contact: Contact, key: str) -> int:
    return contact.composition.touched.get(key, 0) if contact.composition else 0


def _keyed(contact: Contact, field: str) -> dict[str, Any]:
    return _by_key(field, getattr(contact, field))


def _by_key(field: str, elements: Iterable[Any]) -> dict[str, Any]:
    return {touch_key(field, element): element for element in elements}


def taken_back(contact: Contact, given: Iterable[Edit]) -> list[e.ContactEvent]:
    """What happens to the contact on which the edits were made: it has again what it had before."""
    return _changes(contact, {edit.field: edit.before for edit in given})


def handed_over(shown: Contact, given: Iterable[Edit]) -> list[e.ContactEvent]:
    """What happens to the one that leaves with the edits; `shown` is its profile without them."""
    wanted = {edit.field: _wanted(shown, edit) for edit in given}
    return _changes(shown, wanted)


def _wanted(shown: Contact, edit: Edit) -> Any:
    if edit.field not in SETS:
        return edit.now
    had = _by_key(edit.field, edit.before)
    added = {key: element for key, element in _by_key(edit.field, edit.now).items() if key not in had}
    kept = {key: element for key, element in _keyed(shown, edit.field).items() if key not in edit.removed}
    return tuple({**added, **kept}.values())


def _changes(contact: Contact, wanted: Mapping[str, Any]) -> list[e.ContactEvent]:
    """Events that make the fields of `contact` what is wanted; none where they are."""
    details: dict[str, Any] = {}
    events: list[e.ContactEvent] = []
    for field, value in wanted.items():
        if field in SETS:
            added, removed = _difference(getattr(contact, field), value)
            _SET_CHANGES[field](details, events, added, removed)
        elif value != value_of(contact, field):
            if field in PLAIN_FIELDS:
                details[field] = value
            else:
                details.setdefault("attributes", {})[field.removeprefix(ATTRIBUTE_PREFIX)] = value
    return [e.ContactDetailsChanged(**details), *events] if details else events


def _difference(held: Iterable[Any], wanted: Iterable[Any]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """By spelling, not by key: a tag that was respelt gets its old spelling back."""
    has, wants = set(held), set(wanted)
    return tuple(sorted(wants - has)), tuple(sorted(has - wants))


def _change_tags(
    _details: dict[str, Any], events: list[e.ContactEvent], added: tuple[Any, ...], removed: tuple[Any, ...]
) -> None:
    if added:
        events.append(e.ContactTagged(tags=added))
    if removed:
        events.append(e.ContactUntagged(tags=removed))


def _change_lists(
    _details: dict[str, Any], events: list[e.ContactEvent], added: tuple[Any, ...], removed: tuple[Any, ...]
) -> None:
    if added:
        events.append(e.ContactListed(lists=added))
    if removed:
        events.append(e.ContactUnlisted(lists=removed))


def _change_categories(details: dict[str, Any], _events: list[e.ContactEvent], added: Any, removed: Any) -> None:
    if added:
        details["categories_added"] = added
    if removed:
        details["categories_removed"] = removed


_SET_CHANGES: Final = {"tags": _change_tags, "lists": _change_lists, "categories": _change_categories}


# -- the past ---------------------------------------------------------------------------------------------------------


def own_at(contact_id: UUID, stream: Sequence[RecordedEvent[Any]], version: int) -> Contact:
    """What a contact itself said at a version of its whole stream, but for edits that were given away since."""
    given = [
        (recorded.version, key, gift.since)
        for recorded in stream
        if isinstance(recorded.event, e.ContactUnmerged)
        for key, gift in recorded.event.given.items()
    ]
    contact = initial(contact_id)
    for recorded in stream[:version]:
        gone = {key for until, key, since in given if since < recorded.version < until}
        event = _without(recorded.event, gone) if gone else recorded.event
        contact = evolve(contact, event, recorded.recorded_at)
    return contact


def _without(event: Any, gone: set[str]) -> Any:
    match event:
        case e.ContactDetailsChanged():
            return _details_without(event, gone)
        case e.ContactTagged() | e.ContactUntagged():
            return replace(event, tags=_elements_without("tags", event.tags, gone))
        case e.ContactListed() | e.ContactUnlisted():
            return replace(event, lists=_elements_without("lists", event.lists, gone))
    return event


def _details_without(event: e.ContactDetailsChanged, gone: set[str]) -> e.ContactDetailsChanged:
    changes: dict[str, Any] = {field: UNSET for field in PLAIN_FIELDS if field in gone}
    if event.attributes is not UNSET:
        kept = {key: value for key, value in event.attributes.items() if ATTRIBUTE_PREFIX + key not in gone}
        changes["attributes"] = kept or UNSET
    for field in ("lists", "categories"):
        for name in (f"{field}_added", f"{field}_removed"):
            changes[name] = _elements_without(field, getattr(event, name), gone)
    return replace(event, **changes)


def _elements_without(field: str, elements: tuple[T, ...], gone: set[str]) -> tuple[T, ...]:
    return tuple(element for element in elements if touch_key(field, element) not in gone)
