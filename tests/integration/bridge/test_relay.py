"""The relay against real servers: what it sends, where it goes on, what it does when the stream is changed under it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from uuid import uuid4

import asyncpg
import msgspec
import nats
import pytest
import structlog

from contacts.catalog import CODEC, EVENT_TYPES
from contacts.contact.events import ContactCreated, ContactTagged
from contacts.workspace.directory import Workspaces
from contacts.workspace.events import WorkspaceCreated, WorkspaceSettingsChanged
from contacts_bridge.app import wants_values
from contacts_bridge.definitions import EVENTS
from contacts_bridge.feed import Outgoing, add
from contacts_bridge.metrics import LAG_EVENTS, Figures
from eventstore.codec import Codec, EventType
from eventstore.envelope import Stream, StreamWrite, Write
from eventstore.store import EventStore
from rollbook.embedded.nats import Nats
from tests.integration.bridge.rig import KEYRING, Rig, delivery_faults, stop
from tests.support.waiting import until

WHO = b"0197b0e0-0000-7000-8000-000000000001"


class ContactTeleported(msgspec.Struct, frozen=True):
    """An event of a version of this code that is newer than the relay."""

    to: str


async def test_every_event_reaches_the_stream_once_and_in_order(rig: Rig) -> None:
    for _ in range(5):
        await rig.contact(edits=3)
    rig.start(rig.relay())
    await rig.contact(edits=3)

    stored = await rig.caught_up()

    assert [message.id for message in stored] == [event_id for event_id, _ in await rig.logged()]
    assert stored[0].subject == f"rollbook.events.v1.{rig.workspace_id}.contact.created"
    assert stored[0].headers["Content-Type"] == "application/cloudevents+json"
    assert stored[-1].headers["Rollbook-Lanes"] == f"0.{len(stored)}"


async def test_a_new_relay_goes_on_where_the_stream_ends(rig: Rig) -> None:
    await rig.contact(edits=4)
    first = rig.start(rig.relay())
    await rig.caught_up()
    await stop(first)
    await rig.contact(edits=4)

    rig.start(rig.relay())

    assert [message.id for message in await rig.caught_up()] == [event_id for event_id, _ in await rig.logged()]


async def test_a_deleted_stream_is_made_again_and_filled_from_the_log(rig: Rig) -> None:
    rig.start(rig.relay())
    await rig.contact(edits=9)
    await rig.caught_up()
    client = await nats.connect(rig.server.url)
    await client.jetstream().delete_stream(EVENTS)
    await client.close()

    stored = await rig.caught_up()

    assert not delivery_faults(stored, await rig.logged())


@pytest.mark.parametrize("count", [1, 4, 10])
async def test_a_tail_that_somebody_deleted_is_sent_again(rig: Rig, count: int) -> None:
    rig.start(rig.relay())
    await rig.contact(edits=9)
    stored = await rig.caught_up()
    client = await nats.connect(rig.server.url)
    for message in stored[-count:]:
        await client.jetstream().delete_msg(EVENTS, message.sequence)
    await client.close()

    await rig.caught_up()
    await rig.contact()
    stored = await rig.caught_up()

    assert not delivery_faults(stored, await rig.logged())


async def test_of_two_relays_one_is_at_work_and_the_other_takes_over(rig: Rig) -> None:
    relays = [rig.relay(), rig.relay()]
    tasks = [rig.start(relay) for relay in relays]
    for _ in range(20):
        await rig.contact(edits=2)
    await rig.caught_up()
    await stop(tasks[0])
    await rig.contact(edits=2)
    await rig.caught_up()
    rig.start(relays[0])
    await stop(tasks[1])
    await rig.contact(edits=2)

    stored = await rig.caught_up()

    assert [message.id for message in stored] == [event_id for event_id, _ in await rig.logged()]


async def test_a_message_of_somebody_else_does_not_confuse_the_relay(rig: Rig) -> None:
    rig.start(rig.relay())
    await rig.contact()
    await rig.caught_up()
    client = await nats.connect(rig.server.url)
    await client.jetstream().publish("rollbook.events.v1.x.contact.created", b'{"id":"%s"}' % str(uuid4()).encode())
    await client.close()
    await rig.contact()

    stored = await rig.caught_up()

    assert len(stored) == len(await rig.logged()) + 1


async def test_messages_hold_no_personal_data_unless_the_workspace_asks_for_it(rig: Rig) -> None:
    async def asked(_: object) -> bool:
        return True

    contact_id = uuid4()
    person = ContactCreated(source="api", first_name="Zaphodia", email="zaphodia@example.com", tags=("tall-person",))
    await rig.append(contact_id, 0, person, ContactTagged(tags=("two-heads",)))
    first = rig.start(rig.relay())
    thin = b"".join(message.data for message in await rig.caught_up())
    await stop(first)
    await rig.append(contact_id, 2, ContactTagged(tags=("three-arms",)))
    rig.start(rig.relay(wants_values=asked))
    rich = (await rig.caught_up())[-1]

    for secret in (b"Zaphodia", b"zaphodia", b"tall-person", b"two-heads"):
        assert secret not in thin
    assert rich.body["data"]["values"] == {"tags": ["three-arms"]}


async def test_the_setting_of_the_workspace_decides_about_values(rig: Rig) -> None:
    workspaces = Workspaces(rig.store, max_age_s=0.0)
    rig.start(rig.relay(wants_values=wants_values(workspaces)))
    person = ContactCreated(source="api", first_name="Zaphodia")
    await rig.append(uuid4(), 0, person)
    thin = (await rig.caught_up())[-1]
    stream = Stream(rig.workspace_id, "workspace", rig.workspace_id)
    asked = WorkspaceCreated(name="Shop"), WorkspaceSettingsChanged(publish_values=True)
    settings = StreamWrite(stream=stream, expected_version=0, events=asked)
    await rig.store.append(Write(workspace_id=rig.workspace_id, streams=(settings,)))
    await rig.append(uuid4(), 0, person)
    rich = (await rig.caught_up())[-1]

    assert "values" not in thin.body["data"]
    assert rich.body["data"]["values"]["first_name"] == "Zaphodia"


async def test_outages_of_nats_are_survived(rig: Rig) -> None:
    rig.start(rig.relay())
    await rig.contact(edits=3)
    await rig.caught_up()
    for outage in ("kill", "pause"):
        getattr(rig.server, outage)()
        await rig.contact(edits=3)
        await asyncio.to_thread(rig.server.start if outage == "kill" else rig.server.resume)
        await rig.contact(edits=3)
        assert not delivery_faults(await rig.caught_up(), await rig.logged())


async def test_several_lanes_share_the_stream_and_each_goes_on_where_it_was(
    database: str, private_nats: Callable[..., Nats]
) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute("UPDATE log.lanes SET slice_to = 511")
    await connection.execute("INSERT INTO log.lanes (lane, slice_from, slice_to) VALUES (1, 512, 1023)")
    await connection.close()
    store = await EventStore.open(database, codec=CODEC, keyring=KEYRING, pool_size=4)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(store.close)
        rig = Rig(store, await asyncio.to_thread(private_nats), stack)

        async def write_to_both_lanes() -> None:
            for lane in (0, 1, 0):
                while store.lane_of(rig.workspace_id) != lane:
                    rig.workspace_id = uuid4()
                await rig.contact(edits=2)

        async def positions(lane: int, count: int) -> list[str]:
            stored = await until(lambda: rig.stored_or_nothing(count))
            return [m.body["position"] for m in stored if m.body["position"].startswith(f"{lane}.")]

        await write_to_both_lanes()
        first = rig.start(rig.relay())
        await positions(0, 9)
        await stop(first)
        await write_to_both_lanes()
        rig.start(relay := rig.relay())

        assert await positions(0, 18) == [f"0.{position}" for position in range(1, 13)]
        assert await positions(1, 18) == [f"1.{position}" for position in range(1, 7)]
        await until(lambda: dict(relay.tail.positions) == {0: 12, 1: 6})


async def test_an_erased_person_s_events_are_sent_without_their_data(rig: Rig, database: str) -> None:
    contact_id = await rig.contact(edits=1)
    connection = await asyncpg.connect(database)
    await connection.execute("DELETE FROM keys.subject_keys WHERE subject_id = $1", contact_id)
    await connection.close()
    await rig.contact()
    rig.start(rig.relay())

    stored = await rig.caught_up()

    assert [message.body.get("erased", False) for message in stored] == [True, True, False]
    assert stored[0].body["subject"] == str(contact_id)


async def test_an_event_that_this_code_cannot_read_holds_the_stream_until_one_can(rig: Rig, database: str) -> None:
    newer = await EventStore.open(
        database, codec=Codec([*EVENT_TYPES, EventType("contact.teleported", ContactTeleported)]), keyring=KEYRING
    )
    contact_id = await rig.contact(edits=2)
    rig.store, older = newer, rig.store
    await rig.append(contact_id, 3, ContactTeleported(to="Mars"))
    await rig.append(contact_id, 4, ContactTagged(tags=("later",)))
    figures = Figures()
    rig.start(rig.relay(store=older, watcher=figures))

    await until(lambda: figures.now == "holding")
    assert [message.body["version"] for message in await rig.stored()] == [1, 2, 3]
    assert "holding" in (figures.ready(30) or "")
    await newer.close()


async def test_a_stream_that_is_ahead_of_the_log_is_not_followed(rig: Rig) -> None:
    rig.start(relay := rig.relay())
    await rig.contact()
    await rig.caught_up()
    async with rig.broker() as broker:
        ahead = Outgoing(0, 50, f"rollbook.events.v1.{rig.workspace_id}.contact.created", b'{"id":"%s"}' % WHO)
        await add(broker, [ahead], relay.tail)
    figures = Figures()
    with structlog.testing.capture_logs() as lines:
        rig.start(rig.relay(watcher=figures))
        await until(lambda: any("StreamAheadOfLog" in line.get("reason", "") for line in lines))

    assert figures.now == "offline"


async def test_lag_is_told_while_nats_is_away(rig: Rig) -> None:
    figures = Figures()
    relay = rig.relay(watcher=figures)
    rig.start(relay)
    await rig.contact()
    await rig.caught_up()
    await asyncio.to_thread(rig.server.kill)
    await rig.contact(edits=2)
    lag = asyncio.ensure_future(figures.watch_lag(rig.store, relay))

    await until(lambda: figures.lag_ms > 0)
    assert LAG_EVENTS.labels(0)._value.get() == 3
    await stop(lag)
