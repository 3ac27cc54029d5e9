"""For every field the event that set what is shown, whose it is, how it came here, and all earlier values. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

from contacts.audit.chronicle import Chronicle, Origin
from contacts.audit.fields import ATTRIBUTES, slots
from contacts.audit.refs import EventRef, ref
from contacts.contact.composition import PLAIN_FIELDS
from contacts.contact.events import ChannelIdentity
from contacts.contact.state import Channel
from contacts.merge.view import SETS

if TYPE_CHECKING:
    from contacts.audit.chronicle import Recorded
    from contacts.audit.words import Names
    from contacts.contact.changes import FieldChange

#: Told of others: they say when something else changed.
_DERIVED: Final = frozenset({"created_at", "blocked_at", "absorbed_into"})
_ORDER: Final = (*PLAIN_FIELDS, ATTRIBUTES, *SETS, "channels")


class EarlierValue(msgspec.Struct, frozen=True, kw_only=True):
    """A value that is shown no more, or that a merged contact says itself while another one's is shown."""

    value: Any
    #: Whose value it was; null for what was said about an address.
    contact: UUID | None
    #: The merge by which that contact was part of what was shown; null for the contact itself.
    merge: UUID | None
    #: The fact that says so.
    set_by: EventRef
    #: From when on it was shown, which for a merged contact's value is the merge. Null: it was never shown here.
    shown_since: EventRef | None
    #: What ended it; null while that contact still says so itself.
    until: EventRef | None


class FieldProvenance(msgspec.Struct, frozen=True, kw_only=True):
    """One field, or one element of a set."""

    #: As in the contact; custom attributes as `attributes.<key>`, consents as `consents.<channel>`.
    field: str
    #: Of tags, lists, categories and channels: which one. Null for all other fields.
    element: Any
    #: What is shown; null where it was cleared or taken away.
    value: Any
    contact: UUID | None
    merge: UUID | None
    set_by: EventRef
    #: The event from which on it is shown: `set_by` itself, or the merge that brought it.
    shown_since: EventRef
    #: Oldest first.
    earlier: tuple[EarlierValue, ...]


class _Period(msgspec.Struct):
    value: Any
    origin: Origin
    since: Recorded
    shown: bool
    until: Recorded | None = None


_Slot = tuple[str, Any]


def provenance(chronicle: Chronicle, names: Names) -> list[FieldProvenance]:
    """In the order of the contact's fields; what never had a value is left out."""
    shown = _shown_periods(chronicle)
    for slot, origin in chronicle.origins.items():
        if slot in shown:
            shown[slot][-1].origin = origin
    for slot, periods in _own_periods(chronicle).items():
        known = {period.origin.fact.event_id for period in shown.get(slot, ())}
        hidden = [period for period in periods if period.origin.fact.event_id not in known]
        if hidden:
            shown.setdefault(slot, []).extend(hidden)
    return [
        _field(slot, periods, names)
        for slot, periods in sorted(shown.items(), key=lambda item: _place(item[0]))
        if any(period.shown for period in periods) and any(period.value is not None for period in periods)
    ]


def _shown_periods(chronicle: Chronicle) -> dict[_Slot, list[_Period]]:
    found: dict[_Slot, list[_Period]] = {}
    for step in chronicle.steps:
        if step.shown:
            for field, element, value in _slots(step.changes):
                origin = step.origins.get((field, element)) or Origin(fact=step.recorded, contact=step.contact)
                _begin(found, (field, element), _Period(_plain(value), origin, step.recorded, shown=True))
    return found


def _own_periods(chronicle: Chronicle) -> dict[_Slot, list[_Period]]:
    """What each of those that are part of it now ever said itself."""
    found: dict[_Slot, list[_Period]] = {}
    for member, merge_id in chronicle.members.items():
        own: dict[_Slot, list[_Period]] = {}
        for step in chronicle.steps:
            if step.contact == member:
                origin = Origin(fact=step.recorded, contact=member, merge_id=merge_id)
                for field, element, value in _slots(step.own):
                    _begin(own, (field, element), _Period(_plain(value), origin, step.recorded, shown=False))
        for slot, periods in own.items():
            found.setdefault(slot, []).extend(period for period in periods if period.value is not None)
    return found


def _begin(periods: dict[_Slot, list[_Period]], slot: _Slot, period: _Period) -> None:
    known = periods.setdefault(slot, [])
    if known:
        known[-1].until = period.since
    known.append(period)


def _slots(changes: tuple[FieldChange, ...]) -> Iterator[tuple[str, Any, Any]]:
    for change in changes:
        if change.field not in _DERIVED:
            yield from slots(change)


def _field(slot: _Slot, periods: list[_Period], names: Names) -> FieldProvenance:
    present = next(period for period in reversed(periods) if period.shown)
    field, element = slot
    earlier = sorted(
        (period for period in periods if period is not present and period.value is not None),
        key=lambda period: period.since.position,
    )
    values = [period.value for period in (present, *earlier) if period.value is not None]
    return FieldProvenance(
        field=field,
        element=None if element is None else values[0],
        value=present.value,
        contact=present.origin.contact,
        merge=present.origin.merge_id,
        set_by=ref(present.origin.fact, names),
        shown_since=ref(present.since, names),
        earlier=tuple(_earlier(period, names) for period in earlier),
    )


def _earlier(period: _Period, names: Names) -> EarlierValue:
    return EarlierValue(
        value=period.value,
        contact=period.origin.contact,
        merge=period.origin.merge_id,
        set_by=ref(period.origin.fact, names),
        shown_since=ref(period.since, names) if period.shown else None,
        until=None if period.until is None else ref(period.until, names),
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Channel):
        return ChannelIdentity(kind=value.kind, token=value.token, application=value.application, device=value.device)
    return value


def _place(slot: _Slot) -> tuple[int, str, str]:
    field, element = slot
    name = ATTRIBUTES if field.startswith(ATTRIBUTES) else field
    return _ORDER.index(name) if name in _ORDER else len(_ORDER), field, str(element)
