"""Keeps the history read model: events in, one row per version of what was shown. Queries are in `queries`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

from contacts.consent.record import CATEGORIES as ADDRESS_CATEGORIES
from contacts.contact import quota, standings
from contacts.contact.projection import ContactProjection
from contacts.contact.row import COLUMNS, row_of
from contacts.contact.state import Contact
from contacts.history.remaking import remade
from contacts.history.timeline import Timeline, Version, World
from contacts.history.world import SQL, RememberingKeys, read_world
from contacts.merge.rows import Touched, is_merged
from eventstore.cipher import SubjectCipher
from eventstore.projection import Projection
from eventstore.rows import RowCodec

if TYPE_CHECKING:
    from eventstore.cipher import Keyring
    from eventstore.codec import Codec
    from eventstore.envelope import RecordedEvent
    from eventstore.projection import Connection

NOW_COLUMNS: Final = (*COLUMNS, "search_is_new", "from_position", "from_time")
PAST_COLUMNS: Final = (*NOW_COLUMNS, "to_position", "to_time")
_encode: Final = msgspec.msgpack.Encoder(uuid_format="bytes").encode


class HistoryProjection(Projection):
    """Rows of `contact_history`: at every position they are what the contact read model was there.

    The erased have none. A version depends on what other streams say, so events come in the order of the lane.
    """

    name = "history"
    version = 2
    stands_back_s = 0.01
    types = ContactProjection.types
    schema_sql = "\n".join(
        files(package).joinpath(file).read_text(encoding="utf-8")
        for package, file in (("contacts.history", "schema.sql"), ("contacts.contact", "standing_schema.sql"))
    )
    index_sql = files("contacts.history").joinpath("indexes.sql").read_text(encoding="utf-8")
    # Unlike where slices go each at its own pace, every row is the same in every build.
    uncompared = frozenset()

    def __init__(self, codec: Codec, keyring: Keyring | None = None) -> None:
        """Without `keyring` only tables can be made. With `codec` it reads in the log what an erasure leaves."""
        self._codec = codec
        self._keyring = keyring

    def bound(self, keyring: Keyring) -> HistoryProjection:
        return HistoryProjection(self._codec, keyring)

    def key(self, event: RecordedEvent[Any]) -> UUID:
        """The stream. Said here anew, which keeps the lane in its order."""
        return event.stream_id

    async def apply(self, connection: Connection, events: Sequence[RecordedEvent[Any]], *, fresh: bool) -> None:
        assert self._keyring is not None, "a projection that applies events was bound to a keyring"
        # Lanes take turns: an address that one workspace closes is closed for the others, too.
        await standings.lock(connection, alone=True)
        world = await read_world(connection, events, RememberingKeys(self._keyring.hmac), fresh=fresh)
        own_before = dict(world.own)
        timeline = Timeline(world)
        for event in events:
            timeline.take(event)
        await quota.keep_limits(connection, quota.limits_in(events))
        await standings.record_facts(connection, [e for e in events if e.category in ADDRESS_CATEGORIES])
        await _save_contacts(connection, timeline, own_before)
        gone = {id_: workspace_id for id_, workspace_id in timeline.changed.items() if world.own[id_].erased}
        await _save_versions(connection, timeline.ended, [v for v in timeline.new if v.contact.id not in gone])
        if gone or timeline.unsaid:
            await self._purge(connection, timeline, gone, events[-1])
        await _save_room(connection, world)

    async def _purge(
        self, connection: Connection, timeline: Timeline, gone: dict[UUID, UUID], last: RecordedEvent[Any]
    ) -> None:
        """Takes away what there is of the erased, and out of the past of others what can no longer be read."""
        assert self._keyring is not None
        found = await connection.fetch(SQL["concerned"], list(gone), list(timeline.unsaid))
        await connection.execute(SQL["erase"], list(gone.values()), list(gone))
        others = {row["contact_id"]: row["workspace_id"] for row in found if row["contact_id"] not in gone}
        if others:
            codec, keys = RowCodec(self._codec, SubjectCipher(self._keyring)), timeline.world.keys
            versions, left = await remade(connection, codec, keys, others, lane=last.lane, to_position=last.position)
            await connection.execute(SQL["forget"], list(others.values()), list(others))
            await _save_versions(connection, (), versions)
            await _keep_gone(connection, left, [id_ for id_ in others if left.own[id_].erased])


async def _save_contacts(connection: Connection, timeline: Timeline, before: dict[UUID, Contact]) -> None:
    """What contacts say themselves, as far as no row shows it."""
    world = timeline.world
    changed = [Touched(world.workspaces[id_], before.get(id_), world.own[id_]) for id_ in timeline.changed]
    # Who ever had an address stays linked to it: what can no longer be said of it has to go out of their past, too.
    links = [(address, world.workspaces[id_], id_) for address, id_ in timeline.had if not world.own[id_].erased]
    if links:
        await connection.execute(standings.SQL["link"], *_columns(links))
    members = [each for each in changed if is_merged(each.after) and not each.after.erased]
    if members:
        rows = [(each.workspace_id, each.after.id, _encode(each.after)) for each in members]
        await connection.execute(SQL["keep_members"], *_columns(rows))
    alone = [each for each in changed if each.merged and (each.after.erased or not is_merged(each.after))]
    if alone:
        await connection.execute(SQL["drop_members"], *_columns([(each.workspace_id, each.after.id) for each in alone]))
    await _keep_gone(connection, world, [each.after.id for each in changed if each.after.erased])


async def _keep_gone(connection: Connection, world: World, gone: Sequence[UUID]) -> None:
    """That they were there, so that what still comes of them is known to be of erased contacts."""
    if gone:
        owns = [world.own[id_] for id_ in gone]
        rows = [(world.workspaces[o.id], o.id, o.version, o.created_at, world.takes_room[o.id]) for o in owns]
        await connection.execute(SQL["keep_gone"], *_columns(rows))


async def _save_versions(connection: Connection, ended: Iterable[Version], begun: Iterable[Version]) -> None:
    ends = [(each.workspace_id, each.contact.id, each.to_position, each.to_time) for each in ended]
    if ends:
        await connection.execute(SQL["close"], *_columns(ends))
    # One that another event at the same place replaced was never shown.
    new = [each for each in begun if each.to_position != each.from_position]
    past = [each for each in new if each.to_position is not None]
    if past:
        rows = ((*_row(each), each.to_position, each.to_time) for each in past)
        await connection.copy_records_to_table("contact_history_past", records=rows, columns=PAST_COLUMNS)
    now = [each for each in new if each.to_position is None]
    if now:
        await connection.copy_records_to_table("contact_history_now", records=map(_row, now), columns=NOW_COLUMNS)
    kin = {(each.workspace_id, child, each.contact.id) for each in new for child in each.contact.absorbed}
    if kin:
        await connection.execute(SQL["keep_kin"], *_columns(sorted(kin)))


async def _save_room(connection: Connection, world: World) -> None:
    if world.came:
        await connection.execute(SQL["keep_room"], *_columns(sorted(world.came.items())))


def _row(version: Version) -> tuple[object, ...]:
    position = version.from_position
    row = row_of(version.contact, version.workspace_id, position)
    return (*row, version.search_is_new, position, version.from_time)


def _columns(rows: Iterable[tuple[object, ...]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]
