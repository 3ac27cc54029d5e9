"""What filters are read with and what segments mean, kept as rows: one event after the other. Members are elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from contacts.folding import fold as folded
from contacts.lists import decider as lists
from contacts.lists.events import CATEGORY as LIST
from contacts.segment import decider as segments
from contacts.segment.events import CATEGORY as SEGMENT
from contacts.segment.kept import Defined, Kept, Remembered, Scope, keep
from contacts.segment.lives import SQL
from contacts.workspace.state import CATEGORY as WORKSPACE
from contacts.workspace.state import Settings, Workspace, evolve
from eventstore.sql import load

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eventstore.envelope import RecordedEvent
    from eventstore.projection import Connection

#: Events of a workspace after which a filter may mean something else.
SCOPE_TYPES: Final = frozenset(
    {"workspace.settings_changed", "attribute.defined", "attribute.renamed", "attribute.archived"}
)
TYPES: Final = SCOPE_TYPES | {
    "list.created",
    "list.renamed",
    "list.archived",
    "list.restored",
    "segment.created",
    "segment.renamed",
    "segment.redefined",
    "segment.archived",
    "segment.restored",
}
FILLING: Final = load("contacts.segment", "filling.sql")
_decode_scope: Final = msgspec.msgpack.Decoder(Scope).decode
_encode: Final = msgspec.msgpack.Encoder().encode
_decode_filter: Final = msgspec.json.Decoder().decode
_json: Final = msgspec.json.Encoder().encode


async def load_kept(
    connection: Connection, workspace_ids: Iterable[UUID], remembered: Remembered
) -> dict[UUID, Kept]:  # fmt: skip
    """By workspace, of those that keep anything, as they are now."""
    found = {}
    for row in await connection.fetch(SQL["scopes"], list(set(workspace_ids))):
        workspace_id, revision = row["workspace_id"], row["revision"]
        kept = remembered.get(workspace_id, revision)
        if kept is None:
            defined = [_defined(each) for each in await connection.fetch(SQL["definitions"], workspace_id)]
            kept = keep(_decode_scope(row["state"]), defined)
            remembered.put(workspace_id, revision, kept)
        if not kept.is_empty:
            found[workspace_id] = kept
    return found


async def kept_at(
    connection: Connection, workspace_id: UUID, position: int, scope: bytes, remembered: Remembered
) -> Kept:
    """As everything was defined from an event on; `scope` is that of then."""
    kept = remembered.get(workspace_id, position)
    if kept is None:
        defined = [_defined(each) for each in await connection.fetch(FILLING["definitions_at"], workspace_id, position)]
        kept = keep(_decode_scope(scope), defined)
        remembered.put(workspace_id, position, kept)
    return kept


async def define(connection: Connection, event: RecordedEvent[Any]) -> None:
    """Keeps what one event of a list, a segment or a workspace says. Taken again, it changes nothing."""
    row = await connection.fetchrow(SQL["scopes"], [event.workspace_id])
    scope = _decode_scope(row["state"]) if row else Scope()
    if row is not None and row["revision"] >= event.position:
        return
    if event.category in (LIST, SEGMENT):
        await _save_segment(connection, event, scope)
    elif event.category == WORKSPACE:
        scope = _evolved(scope, event)
    await connection.execute(SQL["save_scope"], event.workspace_id, event.position, _encode(scope))


def _evolved(scope: Scope, event: RecordedEvent[Any]) -> Scope:
    """The part of a workspace that filters are read with, by the fold of the whole."""
    settings = Settings(default_time_zone=scope.time_zone, default_region=scope.region)  # type: ignore[arg-type]
    before = Workspace(id=event.workspace_id, settings=settings, attributes=scope.attributes)
    after = evolve(before, event.event, event.recorded_at)
    return replace(
        scope,
        time_zone=after.settings.default_time_zone,
        region=after.settings.default_region,
        attributes=after.attributes,
    )


async def _save_segment(connection: Connection, event: RecordedEvent[Any], scope: Scope) -> None:
    is_list = event.category == LIST
    place = event.workspace_id, event.stream_id
    row = await connection.fetchrow(SQL["load_segment"], *place)
    region = scope.region
    before: Any = (lists if is_list else segments).initial(event.stream_id)
    if row is not None:
        known = {name: row[name] for name in ("name", "version", "created_at", "archived_at")}
        before = replace(before, **known)
        if not is_list:
            before = replace(before, filter=_decode_filter(row["filter"]))
    after: Any = (lists if is_list else segments).fold(before, event)
    name = after.name
    await connection.execute(
        SQL["save_segment"], *place, is_list, name, folded(name), after.version, after.created_at, after.changed_at,
        after.archived_at,
    )  # fmt: skip
    if row is None:
        await connection.execute(SQL["open_count"], *place)
    elif event.type == "segment.redefined":
        region = scope.region
    else:
        region = row["region"]
    if row is None or event.type != f"{event.category}.renamed":
        await connection.execute(SQL["end_definition"], *place, event.position)
        filter_ = None if is_list else _json(after.filter).decode()
        is_kept = is_list or not after.archived
        await connection.execute(
            SQL["save_definition"], *place, event.position, is_list, is_kept, filter_, region
        )  # fmt: skip


def _defined(row: Any) -> Defined:
    return Defined(
        segment_id=row["segment_id"],
        is_list=row["is_list"],
        is_kept=row["is_kept"],
        filter=None if row["filter"] is None else _decode_filter(row["filter"]),
        region=row["region"],
    )
