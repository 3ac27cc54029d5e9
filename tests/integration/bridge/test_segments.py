"""The relay of segments: every change reaches JetStream once and in order, whatever is lost or runs twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg
import msgspec
import nats
import pytest
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from contacts.segment.projection import SegmentProjection
from contacts_bridge.segments.feed import segments_stream
from contacts_bridge.segments.message import STREAM, Place, SegmentMessage, parse_place
from contacts_bridge.segments.relay import SegmentRelay
from eventstore import builds
from tests.integration.bridge.rig import Rig
from tests.support.waiting import until

AT: Final = datetime(2026, 3, 1, 12, 0, 0, 123457, tzinfo=UTC)
INSERT: Final = """
INSERT INTO rm_segment.change (lane, at, position, segment_id, contact_id, workspace_id, entered, cause, event_id)
VALUES (0, $1, $2, $3, $4, $5, $6, $7, $8)
"""
INSERT_FIRST: Final = """
INSERT INTO rm_segment.first_change (
    lane, defined_at, defined_position, contact_id, segment_id, at, position, workspace_id, entered, cause, event_id
)
VALUES (0, $1, $2, $3, $4, $1, $2, $5, TRUE, 'segment.created', $6)
"""
INSERT_FILLING: Final = """
INSERT INTO rm_segment.filling (workspace_id, position, at, lane, cause, event_id, segment_ids, scope)
VALUES ($1, $2, $3, 0, 'segment.created', $4, $5, '')
"""


class Changes:
    """A change table that is written by hand, and what the stream holds of it."""

    def __init__(self, rig: Rig, connection: asyncpg.Connection, pool: asyncpg.Pool) -> None:
        self.rig = rig
        self.connection = connection
        self.pool = pool
        self.segment_id = uuid4()
        self.written: list[tuple[UUID, bool]] = []

    async def write(self, count: int) -> None:
        for _ in range(count):
            number = len(self.written)
            contact_id, entered = uuid4(), number % 3 != 2
            event_id = uuid4() if entered else None
            await self.connection.execute(
                INSERT, AT + timedelta(microseconds=number // 2), number + 1, self.segment_id, contact_id,
                self.rig.workspace_id, entered, "contact.created" if entered else "clock", event_id,
            )  # fmt: skip
            self.written.append((contact_id, entered))

    def start(self) -> asyncio.Task[None]:
        relay = SegmentRelay(
            self.pool, nats_url=self.rig.server.url, definition=segments_stream(max_bytes=64 << 20),
            takeover_after_s=0.4, poll_s=0.02,
        )  # fmt: skip
        return self.rig._start(relay.run())

    async def stored(self) -> list[tuple[str, SegmentMessage]]:
        try:
            client = await nats.connect(self.rig.server.url, allow_reconnect=False)
        except (nats.errors.Error, OSError):
            return []
        try:
            config = ConsumerConfig(deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.NONE)
            stream = client.jetstream()
            total = (await stream.stream_info(STREAM)).state.messages
            if not total:
                return []
            puller = await stream.pull_subscribe("rollbook.segments.v1.>", stream=STREAM, config=config)
            found: list[Any] = []
            while len(found) < total:
                found += await puller.fetch(total - len(found), timeout=2)
            return [(each.subject, msgspec.json.decode(each.data, type=SegmentMessage)) for each in found]
        except (nats.errors.Error, nats.js.errors.Error):
            return []
        finally:
            await client.close()

    async def arrived(self) -> list[tuple[str, SegmentMessage]]:
        """Everything written, in order and once."""

        async def all_there() -> list[tuple[str, SegmentMessage]]:
            found = await self.stored()
            return found if len(found) >= len(self.written) else []

        found = await until(all_there, timeout_s=60, every_s=0.1)
        moved = [(message.data.contact, message.type == "rollbook.segment.entered.v1") for _, message in found]
        assert moved == self.written
        assert len({message.id for _, message in found}) == len(found)
        return found


@pytest.fixture
async def changes(rig: Rig, database: str) -> AsyncIterator[Changes]:
    settings = {"role": "rollbook_projector", "jit": "off"}
    connection = await asyncpg.connect(database, server_settings=settings)
    await builds.ensure_builds(connection, [SegmentProjection()])
    pool = await asyncpg.create_pool(database, min_size=1, max_size=3, server_settings=settings)
    yield Changes(rig, connection, pool)
    pool.terminate()
    connection.terminate()


def test_a_place_is_read_back_to_the_microsecond() -> None:
    place = Place(AT, 2**62, uuid4(), uuid4())
    assert parse_place(place.token) == place


async def test_every_change_is_told_in_order_with_its_cause(changes: Changes) -> None:
    changes.start()
    await changes.write(7)
    found = await changes.arrived()
    subject, first = found[0]
    workspace = changes.rig.workspace_id
    assert subject == f"rollbook.segments.v1.{workspace}.{changes.segment_id}.entered"
    assert (first.data.segment, first.data.cause.type, first.position, first.time) == (
        changes.segment_id, "contact.created", "0.1", AT
    )  # fmt: skip
    assert found[2][0].endswith(".left")
    assert found[2][1].data.cause == type(first.data.cause)("clock")


async def test_a_relay_that_starts_anew_goes_on_where_the_stream_ends(changes: Changes) -> None:
    task = changes.start()
    await changes.write(5)
    before = await changes.arrived()
    task.cancel()
    await changes.write(5)
    changes.start()
    assert (await changes.arrived())[:5] == before


async def test_a_lost_tail_and_a_deleted_stream_are_sent_again_under_the_same_ids(changes: Changes) -> None:
    changes.start()
    await changes.write(6)
    before = await changes.arrived()
    client = await nats.connect(changes.rig.server.url)
    stream = client.jetstream()
    for sequence in (5, 6):
        await stream.delete_msg(STREAM, sequence)
    assert await changes.arrived() == before
    await changes.write(1)
    assert (await changes.arrived())[:6] == before
    await stream.delete_stream(STREAM)
    await client.close()
    assert (await changes.arrived())[:6] == before


async def test_two_relays_at_once_tell_nothing_twice_and_one_takes_over(changes: Changes) -> None:
    first, _ = changes.start(), changes.start()
    for _ in range(5):
        await changes.write(4)
        await changes.arrived()
    first.cancel()
    await changes.write(4)
    await changes.arrived()


class Filled:
    """A segment that is being filled by hand, in the order of the contacts' ids."""

    def __init__(self, changes: Changes) -> None:
        self.changes = changes
        self.contacts = sorted(uuid4() for _ in range(12))
        self.position = 5

    async def begin(self) -> None:
        await self.changes.connection.execute(
            INSERT_FILLING, self.changes.rig.workspace_id, self.position, AT, uuid4(), [self.changes.segment_id]
        )

    async def enter(self, *contacts: UUID) -> None:
        for contact_id in contacts:
            await self.changes.connection.execute(
                INSERT_FIRST, AT, self.position, contact_id, self.changes.segment_id, self.changes.rig.workspace_id,
                uuid4(),
            )  # fmt: skip

    async def mark(self, contact_id: UUID) -> None:
        await self.changes.connection.execute("UPDATE rm_segment.filling SET mark = $1", contact_id)

    async def finish(self) -> None:
        await self.changes.connection.execute("UPDATE rm_segment.filling SET is_done = true")

    async def leave(self, contact_id: UUID, position: int) -> None:
        changes = self.changes
        await changes.connection.execute(
            INSERT, AT + timedelta(seconds=position), position, changes.segment_id, contact_id,
            changes.rig.workspace_id, False, "contact.untagged", uuid4(),
        )  # fmt: skip

    async def told(self, count: int) -> list[tuple[int, bool]]:
        """Contacts by their number and whether they entered, as they stand in the stream once they are so many."""

        async def there() -> list[tuple[str, SegmentMessage]]:
            found = await self.changes.stored()
            return found if len(found) >= count else []

        found = await until(there, timeout_s=60, every_s=0.1)
        return [(self.contacts.index(m.data.contact), m.type == "rollbook.segment.entered.v1") for _, m in found]


async def test_first_changes_of_a_new_definition_keep_nobody_waiting_and_no_contact_out_of_order(
    changes: Changes,
) -> None:
    filled = Filled(changes)
    await filled.begin()
    contacts = filled.contacts
    # Two were asked early, one of which left again; nobody else was asked yet.
    await filled.enter(contacts[7], contacts[9])
    await filled.leave(contacts[7], 10)
    task = changes.start()
    assert await filled.told(2) == [(7, True), (7, False)]
    await filled.enter(*contacts[:4])
    await filled.mark(contacts[3])
    assert await filled.told(6) == [(7, True), (7, False), (0, True), (1, True), (2, True), (3, True)]
    # A relay that begins anew knows as much from the stream alone.
    task.cancel()
    await filled.leave(contacts[2], 11)
    await filled.leave(contacts[9], 12)
    await filled.enter(*contacts[4:7], contacts[8], *contacts[10:])
    await filled.finish()
    changes.start()
    found = await filled.told(15)
    assert found[6:9] == [(2, False), (9, True), (9, False)]
    assert found[9:] == [(4, True), (5, True), (6, True), (8, True), (10, True), (11, True)]


async def test_an_outage_of_nats_is_waited_out(changes: Changes) -> None:
    changes.start()
    await changes.write(3)
    await changes.arrived()
    await asyncio.to_thread(changes.rig.server.kill)
    await changes.write(3)
    await asyncio.to_thread(changes.rig.server.start)
    await changes.arrived()
