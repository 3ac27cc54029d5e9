"""Keeps the engagement read model: one row per profile, and every version of it. Queries are in `queries`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from msgspec.structs import replace

from contacts.engagement.profiles import Content, Profiles, Version, without
from contacts.engagement.row import (
    columns_of,
    decode_engagement,
    decode_parts,
    decode_tally,
    encode_parts,
    encode_tally,
)
from contacts.merge.events import MergeCompleted, MergeReversed
from eventstore.projection import Projection
from eventstore.sql import load

if TYPE_CHECKING:
    from asyncpg import Record

    from eventstore.envelope import RecordedEvent
    from eventstore.projection import Connection

ERASED: Final = "contact.erased"

SQL: Final = load("contacts.engagement", "projection.sql")


class EngagementProjection(Projection):
    """Rows of `engagement`, `engagement_member` and `engagement_history`. Nothing is known of an erased contact.

    Its versions have positions of the log in them, so it has to see the events of all contacts in their order, and
    each of them once, which the checkpoint sees to.
    """

    name = "engagement"
    version = 1
    types = frozenset({"activity.recorded", "merge.completed", "merge.reversed", ERASED})
    schema_sql = files("contacts.engagement").joinpath("schema.sql").read_text(encoding="utf-8")
    index_sql = files("contacts.engagement").joinpath("indexes.sql").read_text(encoding="utf-8")

    def key(self, event: RecordedEvent[Any]) -> UUID:
        # Given anew although it is the default: keys that are nothing but streams would be taken out of order.
        return event.stream_id

    async def apply(self, connection: Connection, events: Sequence[RecordedEvent[Any]], *, fresh: bool) -> None:
        # An erasure reaches into versions that are long stored, so all before it has to be stored as well.
        for erases, some in groupby(events, key=lambda event: event.type == ERASED):
            if not erases:
                await _apply(connection, list(some), fresh=fresh)
            else:
                for event in some:
                    await _apply(connection, [event], fresh=False)
                    await _take_out(connection, event.workspace_id, event.stream_id)
            fresh = False


async def _apply(connection: Connection, events: Sequence[RecordedEvent[Any]], *, fresh: bool) -> None:
    profiles = Profiles() if fresh else await _load(connection, events)
    for event in events:
        profiles.apply(event)
    await _save(connection, profiles)


async def _load(connection: Connection, events: Iterable[RecordedEvent[Any]]) -> Profiles:
    profiles = Profiles()
    wanted = dict(pair for event in events for pair in _concerned(event))
    for row in await connection.fetch(SQL["load_members"], list(wanted.values()), list(wanted)):
        profiles.add(row["workspace_id"], row["contact_id"], decode_tally(row["own"]), row["parent_id"])
    wanted.update(profiles.workspaces)
    rows = await connection.fetch(SQL["load"], list(wanted.values()), list(wanted))
    for row in rows:
        if row["contact_id"] not in profiles.tallies:
            profiles.add(row["workspace_id"], row["contact_id"], decode_tally(row["own"]))
    for row in rows:
        profiles.add_version(row["contact_id"], row["from_position"])
    return profiles


def _concerned(event: RecordedEvent[Any]) -> Iterator[tuple[UUID, UUID]]:
    """Contacts, with the workspace of each."""
    match event.event:
        case MergeCompleted(primary=primary, others=others):
            contacts: tuple[UUID, ...] = (primary, *others)
        case MergeReversed(contacts=left, out_of=out_of):
            contacts = (out_of, *left)
        case _:
            contacts = (event.stream_id,)
    return ((contact, event.workspace_id) for contact in contacts)


async def _save(connection: Connection, profiles: Profiles) -> None:
    changed = sorted(profiles.changed)
    merged = [contact for contact in changed if profiles.is_merged(contact)]
    shown = [contact for contact in changed if contact in profiles.present]
    await _execute(connection, "save", (_row(profiles, contact) for contact in shown))
    gone = profiles.changed.difference(shown)
    await _execute(connection, "forget", ((profiles.workspaces[contact], contact) for contact in sorted(gone)))
    await _execute(connection, "save_members", (_member(profiles, contact) for contact in merged))
    alone = profiles.changed.difference(merged)
    await _execute(connection, "forget_members", ((profiles.workspaces[contact], contact) for contact in sorted(alone)))
    await _execute(connection, "end_versions", (_end(version) for version in profiles.ended if version.stored))
    versions = [*profiles.ended, *(profiles.present[contact] for contact in shown)]
    await _add_versions(connection, (version for version in versions if not version.stored))


async def _add_versions(connection: Connection, versions: Iterable[Version]) -> None:
    await _execute(connection, "add_versions", map(_version, versions))


async def _execute(connection: Connection, statement: str, rows: Iterable[Sequence[object]]) -> None:
    """Given row by row, sent column by column; nothing for no rows."""
    if columns := [list(column) for column in zip(*rows, strict=True)]:
        await connection.execute(SQL[statement], *columns)


def _row(profiles: Profiles, contact: UUID) -> tuple[object, ...]:
    version = profiles.present[contact]
    own = encode_tally(profiles.tallies[contact])
    return (version.workspace_id, contact, version.from_position, own, *columns_of(version.content.shown))


def _member(profiles: Profiles, contact: UUID) -> tuple[object, ...]:
    own = encode_tally(profiles.tallies[contact])
    return (profiles.workspaces[contact], contact, profiles.parents.get(contact), profiles.root(contact), own)


def _end(version: Version) -> tuple[object, ...]:
    return (
        version.workspace_id,
        version.contact_id,
        version.from_position,
        version.to_position,
        version.to_time,
    )


def _version(version: Version) -> tuple[object, ...]:
    parts = version.content.parts
    return (
        version.workspace_id,
        version.contact_id,
        version.from_position,
        version.to_position,
        version.from_time,
        version.to_time,
        None if parts is None else ",".join(map(str, parts)),
        encode_parts(parts),
        *columns_of(version.content.shown),
    )


# -- erasure ----------------------------------------------------------------------------------------------------------


async def _take_out(connection: Connection, workspace_id: UUID, contact: UUID) -> None:
    """Takes an erased contact out of every version of every profile that it was ever part of."""
    stored = [_stored(workspace_id, row) for row in await connection.fetch(SQL["versions_with"], workspace_id, contact)]
    kept = list(_fallen_together(stored, contact))
    await connection.execute(SQL["forget_versions"], workspace_id, list({version.contact_id for version in stored}))
    await _add_versions(connection, kept)
    present = [version for version in kept if version.to_position is None]
    starts = [version.from_position for version in present]
    await connection.execute(SQL["restart"], workspace_id, [version.contact_id for version in present], starts)


def _fallen_together(versions: Iterable[Version], contact: UUID) -> Iterator[Version]:
    """As if `contact` had done nothing: what only it made different is one version."""
    last: Version | None = None
    for version in versions:
        content = without(version.content, version.contact_id, contact)
        if last is not None and last.content == content and _follows(last, version):
            last.to_position, last.to_time = version.to_position, version.to_time
            continue
        if last is not None:
            yield last
        last = None if content is None else replace(version, content=content, stored=False)
    if last is not None:
        yield last


def _follows(last: Version, version: Version) -> bool:
    return (last.contact_id, last.to_position) == (version.contact_id, version.from_position)


def _stored(workspace_id: UUID, row: Record) -> Version:
    return Version(
        workspace_id=workspace_id,
        contact_id=row["contact_id"],
        from_position=row["from_position"],
        from_time=row["from_time"],
        content=Content(decode_engagement(row["shown"]), decode_parts(row["parts"])),
        to_position=row["to_position"],
        to_time=row["to_time"],
    )
