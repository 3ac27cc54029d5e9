"""Keeps the history read model: events in, one row per version of what was shown. Queries are in `queries`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

from contacts.addresses import AddressKeys
from contacts.consent.record import CATEGORIES as ADDRESS_CATEGORIES
from contacts.contact import quota, standings
from contacts.contact.projection import ContactProjection
from contacts.contact.row import COLUMNS, row_of
from contacts.contact.state import Contact
from contacts.history.timeline import Timeline, Version, World
from contacts.history.world import SQL, RememberingKeys, read_world
from contacts.merge.rows import Touched, is_merged
from eventstore.projection import Projection

if TYPE_CHECKING:
    from eventstore.cipher import Keyring
    from eventstore.envelope import RecordedEvent
    from eventstore.projection import Connection

NOW_COLUMNS: Final = (*COLUMNS, "from_position", "from_time")
PAST_COLUMNS: Final = (*NOW_COLUMNS, "to_position", "to_time")
_encode: Final = msgspec.msgpack.Encoder(uuid_format="bytes").encode


class HistoryProjection(Projection):
    """Rows of `contact_history`: at every position they are what the contact read model was there.

    The erased have none. A version depends on what other streams say, so events come in the order of the lane.
    """

    name = "history"
    version = 1
    types = ContactProjection.types
    schema_sql = "\n".join(
        files(package).joinpath(file).read_text(encoding="utf-8")
        for package, file in (("contacts.history", "schema.sql"), ("contacts.contact", "standing_schema.sql"))
    )
    index_sql = files("contacts.history").joinpath("indexes.sql").read_text(encoding="utf-8")
    # Unlike where slices go each at its own pace, every row is the same in every build.
    uncompared = frozenset()

    def __init__(self, keys: AddressKeys | None = None) -> None:
        """`keys` as for the contact projection."""
        self._bound_keys = keys

    def bound(self, keyring: Keyring) -> HistoryProjection:
        return HistoryProjection(AddressKeys(keyring.hmac))

    def key(self, event: RecordedEvent[Any]) -> UUID:
        """The stream. Said here anew, which keeps the lane in its order."""
        return event.stream_id

    async def apply(self, connection: Connection, events: Sequence[RecordedEvent[Any]], *, fresh: bool) -> None:
        assert self._bound_keys is not None, "a projection that applies events was bound to a keyring"
        # Lanes take turns: an address that one workspace closes is closed for the others, too.
        await standings.lock(connection, alone=True)
        world = await read_world(connection, events, RememberingKeys(self._bound_keys), fresh=fresh)
        own_before = dict(world.own)
        timeline = Timeline(world)
        for event in events:
            timeline.take(event)
        await quota.keep_limits(connection, quota.limits_in(events))
        await standings.record_facts(connection, [e for e in events if e.category in ADDRESS_CATEGORIES])
        await _save_contacts(connection, timeline, own_before)
        await _save_versions(connection, timeline)
        await _save_room(connection, world)


async def _save_contacts(connection: Connection, timeline: Timeline, before: dict[UUID, Contact]) -> None:
    """What contacts say themselves, as far as no row shows it."""
    world = timeline.world
    changed = [Touched(world.workspaces[id_], before.get(id_), world.own[id_]) for id_ in timeline.changed]
    await standings.link(connection, changed, standings.Addresses(world.keys))
    members = [each for each in changed if is_merged(each.after) and not each.after.erased]
    if members:
        rows = [(each.workspace_id, each.after.id, _encode(each.after)) for each in members]
        await connection.execute(SQL["keep_members"], *_columns(rows))
    alone = [each for each in changed if each.merged and (each.after.erased or not is_merged(each.after))]
    if alone:
        await connection.execute(SQL["drop_members"], *_columns([(each.workspace_id, each.after.id) for each in alone]))
    gone = [each for each in changed if each.after.erased]
    if gone:
        gone_rows = [
            (each.workspace_id, (own := each.after).id, own.version, own.created_at, world.takes_room[own.id])
            for each in gone
        ]
        await connection.execute(SQL["keep_gone"], *_columns(gone_rows))


async def _save_versions(connection: Connection, timeline: Timeline) -> None:
    world = timeline.world
    if timeline.ended:
        ended = [(each.workspace_id, each.contact.id, each.to_position, each.to_time) for each in timeline.ended]
        await connection.execute(SQL["close"], *_columns(ended))
    gone = {id_: workspace_id for id_, workspace_id in timeline.changed.items() if world.own[id_].erased}
    if gone:
        await connection.execute(SQL["erase"], list(gone.values()), list(gone))
    new = [each for each in timeline.new if each.contact.id not in gone and each.to_position != each.from_position]
    now = [each for each in new if each.to_position is None]
    past = [each for each in new if each.to_position is not None]
    if past:
        rows = ((*_row(each), each.from_position, each.from_time, each.to_position, each.to_time) for each in past)
        await connection.copy_records_to_table("contact_history_past", records=rows, columns=PAST_COLUMNS)
    if now:
        rows = ((*_row(each), each.from_position, each.from_time) for each in now)
        await connection.copy_records_to_table("contact_history_now", records=rows, columns=NOW_COLUMNS)
    kin = {(each.workspace_id, child, each.contact.id) for each in new for child in each.contact.absorbed}
    if kin:
        await connection.execute(SQL["keep_kin"], *_columns(sorted(kin)))


async def _save_room(connection: Connection, world: World) -> None:
    moved = sorted((workspace_id, by) for workspace_id, by in world.came.items() if by)
    if moved:
        await connection.execute(SQL["keep_room"], *_columns(moved))


def _row(version: Version) -> tuple[object, ...]:
    return row_of(version.contact, version.workspace_id, version.from_position)


def _columns(rows: Iterable[tuple[object, ...]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]
