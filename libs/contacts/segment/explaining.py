"""Why a contact is in a segment or not: the truth of every part of the filter, and the events that made it so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from uuid import UUID

import msgspec

from contacts.contact.state import CATEGORY, Contact
from contacts.engagement.state import Engagement
from contacts.errors import ContactNotFound
from contacts.merge.component import meet_at
from contacts.reading import reading
from contacts.segment.filters import Parsed
from contacts.segment.lives import decode_contact, decode_engagement
from contacts.segment.queries import SQL
from contacts.smartsearch.dependencies import reads
from contacts.smartsearch.evaluate import Truth, evaluate
from contacts.smartsearch.moment import Moment
from contacts.smartsearch.nodes import SegmentLeaf
from contacts.smartsearch.subject import ActivityFact, Known, Subject, Version
from eventstore.envelope import Stream

if TYPE_CHECKING:
    import asyncpg
    from asyncpg import Record

    from eventstore.sql import AnyConnection
    from eventstore.store import EventStore

#: Of a contact that changed more often, only so many versions are looked through for what set a value.
VERSIONS_MAX: Final = 1_000
_decode_data: Final = msgspec.json.Decoder(dict[str, Any]).decode

#: A value as JSON shows it.
Shown: TypeAlias = str | int | float | bool | None | tuple[str, ...]


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """An event that made something so."""

    event_id: UUID
    type: str
    position: int
    recorded_at: datetime
    #: Of an activity: what it was, and when.
    kind: str | None = None
    occurred_at: datetime | None = None


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a filter."""

    true: bool
    #: As it was sent.
    filter: Any
    #: What the contact has, or how much of it there is.
    value: Shown = None
    because: tuple[Reason, ...] = ()
    #: Until when time alone cannot change it; None is for ever.
    until: datetime | None = None
    items: tuple[Explained, ...] = ()


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Of one contact at one moment."""

    #: The contact that stands for the one asked for.
    contact_id: UUID
    #: Whether it matches; nobody deleted does.
    matches: bool
    deleted: bool
    truth: Explained


class Explainer:
    """Safe to use concurrently. `pool` has sessions of rollbook_reader."""

    def __init__(self, pool: asyncpg.Pool, store: EventStore) -> None:
        self._pool = pool
        self._store = store

    async def explain(
        self, workspace_id: UUID, contact_id: UUID, raw: Any, parsed: Parsed, moment: Moment, position: int
    ) -> Explanation:
        """As of a position that the read models have reached. Raises ContactNotFound."""
        try:
            subject = await self._subject(workspace_id, contact_id, parsed, position)
        except ContactNotFound:
            met = await meet_at(self._store, Stream(workspace_id, CATEGORY, contact_id), position)
            if met.stream.id == contact_id:
                raise
            subject = await self._subject(workspace_id, met.stream.id, parsed, position)
        truth = evaluate(parsed.node, subject, moment, parsed.definitions)
        reasons = await self._reasons(workspace_id, set(_positions(truth)), subject.activities)
        deleted = subject.contact.deleted
        return Explanation(
            contact_id=subject.contact.id,
            matches=truth.true and not deleted,
            deleted=deleted,
            truth=_explained(truth, raw, parsed.raw, reasons),
        )

    async def _subject(self, workspace_id: UUID, contact_id: UUID, parsed: Parsed, position: int) -> Subject:
        read = reads(parsed.node, parsed.definitions)
        place = workspace_id, contact_id, position
        async with reading(self._pool, workspace_id) as connection:
            versions = await connection.fetch(SQL["versions"], *place, VERSIONS_MAX)
            engagements: Sequence[Record] = ()
            if read.engagement:
                engagements = await connection.fetch(SQL["engagements"], *place, VERSIONS_MAX)
            if not versions or versions[0]["to_position"] <= position:
                raise ContactNotFound(contact_id)
            contact = decode_contact(versions[0]["state"])
            activities = await _activities(connection, workspace_id, contact, read.kinds, position)
        return Subject(
            contact=contact,
            engagement=_engagement_at(engagements, position),
            activities=activities,
            versions=list(_versions(versions, engagements, position)),
            is_whole=max(len(versions), len(engagements)) < VERSIONS_MAX,
        )

    async def _reasons(
        self, workspace_id: UUID, positions: set[int], activities: Iterable[ActivityFact]
    ) -> dict[int, Reason]:
        lane = self._store.lane_of(workspace_id)
        facts = {fact.position: fact for fact in activities}
        rows = await self._store.pool.fetch(SQL["events"], lane, sorted(positions), workspace_id) if positions else ()
        return {row["position"]: _reason(row, facts.get(row["position"])) for row in rows}


async def _activities(
    connection: AnyConnection, workspace_id: UUID, contact: Contact, kinds: Iterable[str], position: int
) -> list[ActivityFact]:
    wanted = list(kinds)
    if not wanted:
        return []
    families = [kind.removesuffix(".*") for kind in wanted if kind.endswith(".*")]
    members = [contact.id, *contact.absorbed]
    rows = await connection.fetch(SQL["activities"], workspace_id, members, position, wanted, families)
    return [
        ActivityFact(
            position=row["position"], kind=row["kind"], occurred_at=row["occurred_at"], data=_decode_data(row["data"])
        )
        for row in rows
    ]


def _versions(versions: Sequence[Record], engagements: Sequence[Record], position: int) -> Iterator[Version]:
    """What was shown from each event on that changed the contact or its engagement, the earliest first."""
    contacts = [(row["from_position"], row["to_position"], decode_contact(row["state"])) for row in versions]
    begun = contacts[-1][0]
    turns = {row["from_position"] for row in (*versions, *engagements)}
    turns |= {row["to_position"] for row in engagements if row["to_position"] <= position}
    for turn in sorted(turn for turn in turns if turn >= begun):
        contact = next((contact for start, end, contact in contacts if start <= turn < end), None)
        if contact is not None:
            yield Version(position=turn, contact=contact, engagement=_engagement_at(engagements, turn))


def _engagement_at(engagements: Iterable[Record], position: int) -> Engagement | None:
    for row in engagements:
        if row["from_position"] <= position < row["to_position"]:
            return decode_engagement(row["shown"])
    return None


def _positions(truth: Truth) -> Iterator[int]:
    yield from truth.because
    for item in truth.items:
        yield from _positions(item)


def _reason(row: Record, fact: ActivityFact | None) -> Reason:
    return Reason(
        event_id=row["event_id"],
        type=row["type"],
        position=row["position"],
        recorded_at=row["recorded_at"],
        kind=fact.kind if fact is not None else None,
        occurred_at=fact.occurred_at if fact is not None else None,
    )


def _explained(truth: Truth, raw: Any, definitions: Mapping[UUID, Any], reasons: Mapping[int, Reason]) -> Explained:
    return Explained(
        true=truth.true,
        filter=raw,
        value=_shown(truth.value),
        because=tuple(reasons[position] for position in truth.because if position in reasons),
        until=truth.until,
        items=tuple(
            _explained(item, part, definitions, reasons)
            for item, part in zip(truth.items, _parts(truth, raw, definitions), strict=True)
        ),
    )


def _parts(truth: Truth, raw: Any, definitions: Mapping[UUID, Any]) -> list[Any]:
    """What was sent for each item of a truth."""
    if isinstance(truth.node, SegmentLeaf):
        return [definitions[truth.node.segment_id]] if truth.items else []
    if "not" in raw:
        return [raw["not"]]
    parts: list[Any] = raw.get("all", raw.get("any", []))
    return parts


def _shown(value: Known) -> Shown:
    if isinstance(value, frozenset):
        return tuple(sorted(map(str, value)))
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return str(value) if isinstance(value, date | UUID) else value
