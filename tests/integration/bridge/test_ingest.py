"""The inbox on real NATS and PostgreSQL: every form of message, strangers, poison, and what is put aside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID

import msgspec
import pytest

from contacts.activity.handler import ActivityHandler
from contacts.contact import commands as c
from contacts_bridge.broker import Broker
from contacts_bridge.definitions import INBOX, ensure_consumer, ingest_consumer
from contacts_bridge.errors import ConsumerMismatch
from contacts_bridge.inbox import ingest
from eventstore.envelope import Metadata
from rollbook.embedded.nats import Nats
from servicekit.dead_letters import NoSuchLetter, dead_letters
from tests.integration.bridge.inbox_rig import NOON, InboxRig, body, open_rig, plain
from tests.support.waiting import until


@pytest.fixture
async def inbox(database: str, private_nats: Callable[..., Nats]) -> AsyncIterator[InboxRig]:
    nats = await asyncio.to_thread(private_nats)
    async with open_rig(database, nats.url) as rig:
        yield rig


async def test_every_form_of_a_message_is_recorded_and_a_repeat_in_another_form_is_a_repeat(inbox: InboxRig) -> None:
    await inbox.begin()
    contact = await inbox.create(external_id="c-0", email="anna@example.com")
    await inbox.start()
    event = {**body("e-1"), "specversion": "1.0", "datacontenttype": "application/json", "traceparent": "00-1"}
    by_subject = {**{k: v for k, v in event.items() if k != "contact"}, "id": "e-2", "subject": str(contact)}
    binary = {
        "Content-Type": "application/json", "ce-specversion": "1.0", "ce-id": "e-3", "ce-source": "mailer",
        "ce-type": "message.clicked", "ce-time": NOON.isoformat(), "ce-email": "anna%40example.com",
    }  # fmt: skip
    structured = {"Content-Type": "application/cloudevents+json"}
    data = msgspec.json.encode({"channel": "email"})
    await inbox.send(
        ("message.clicked", msgspec.json.encode(event), structured),
        ("message.clicked", msgspec.json.encode(by_subject), None),
        ("message.clicked", data, binary),
        plain("e-1"),
        plain("p-1", contact={"email": "ANNA@example.com"}),
        plain("o-1", "order.placed", data={"external_id": "o-1", "amount": 5}),
    )
    await inbox.empty()
    assert await inbox.recorded() == dict.fromkeys(("e-1", "e-2", "e-3", "p-1", "o-1"), 1)
    assert inbox.figures.counts == {"recorded": 5, "duplicate": 1}


async def test_contacts_are_upserted_and_what_they_do_in_the_same_batch_finds_them(inbox: InboxRig) -> None:
    await inbox.begin()
    await inbox.define()
    upsert = plain("u-1", "contact.upsert", contact={"external_id": "new"}, data={"first_name": "Nova"})
    await inbox.send(plain("a-1", contact={"external_id": "new"}), upsert, upsert)
    await inbox.start()
    await inbox.empty()
    assert await inbox.recorded() == {"a-1": 1}
    assert inbox.figures.counts == {"recorded": 2, "duplicate": 1}


async def test_an_upsert_onto_a_list_that_does_not_exist_is_put_aside(inbox: InboxRig) -> None:
    await inbox.begin()
    await inbox.start()
    await inbox.send(plain("u-1", "contact.upsert", contact={"external_id": "x"}, data={"lists": [str(UUID(int=7))]}))
    await inbox.empty()
    (letter,) = await inbox.letters()
    (fault,) = letter.reason.errors
    assert (fault.pointer, fault.reason) == ("/lists/0", f"is no list: {UUID(int=7)}")


async def test_poison_is_put_aside_with_its_reason_and_stops_nobody(inbox: InboxRig) -> None:
    await inbox.begin()
    await inbox.create(external_id="c-0")
    await inbox.start()
    await inbox.send(
        ("message.clicked", b"{not json", None),
        plain("wrong", data={"channel": "email", "urll": "x"}),
        plain("good-1"),
        plain("stranger", contact={"external_id": "nobody"}),
        ("message.read", msgspec.json.encode(body("other kind")), None),
        plain("good-2"),
    )
    async with inbox.client() as client:
        await client.jetstream().publish("rollbook.inbox.v1.nowhere.message.clicked", b"{}")
        foreign = "rollbook.inbox.v1.01900000-0000-7000-8000-000000000001.message.clicked"
        await client.jetstream().publish(foreign, msgspec.json.encode(body("foreign")))
    await inbox.empty()
    assert await inbox.recorded() == {"good-1": 1, "good-2": 1}
    letters = await inbox.letters()
    assert [letter.reason.code for letter in letters] == [
        "invalid-input", "invalid-input", "contact-unknown", "invalid-input", "invalid-input", "workspace-not-found",
    ]  # fmt: skip
    assert letters[1].reason.errors[0].pointer == "/data/urll"
    assert [letter.workspace_id for letter in letters[:4]] == [inbox.workspace_id] * 4
    assert letters[4].workspace_id is None
    assert {letter.attempts for letter in letters} == {1}
    assert letters[0].data == b"{not json"
    assert inbox.figures.counts == {"recorded": 2, "dead": 6}


async def test_a_dead_letter_is_retried_once_its_reason_is_gone_or_dropped(inbox: InboxRig) -> None:
    await inbox.begin()
    await inbox.start()
    await inbox.send(plain("early", contact={"external_id": "late"}), ("message.clicked", b"[]", None))
    await inbox.empty()
    early, broken = await inbox.letters()
    await inbox.create(external_id="late")
    async with dead_letters(inbox.nats_url, application="test") as dead:
        assert await dead.get(early.id, inbox.workspace_id) == early
        assert await dead.count(inbox.workspace_id) == 2
        with pytest.raises(NoSuchLetter):
            await dead.get(early.id, UUID(int=1))
        await dead.retry(early)
        await dead.drop(broken)
        await dead.drop(broken)
        await inbox.empty()
        assert await inbox.recorded() == {"early": 1}
        assert await inbox.letters() == []
        with pytest.raises(NoSuchLetter):
            await dead.get(early.id)


async def test_strangers_are_held_until_there_is_a_contact_or_made_one(inbox: InboxRig) -> None:
    await inbox.begin(unknown_contacts="hold")
    await inbox.start()
    await inbox.send(*(plain(f"h-{n}", contact={"external_id": "soon"}) for n in range(3)))
    await inbox.empty()
    assert await inbox.pending("ROLLBOOK_HELD") == 3
    assert await inbox.recorded() == {}
    await inbox.create(external_id="soon")

    async def none_is_held() -> bool:
        return await inbox.pending("ROLLBOOK_HELD") == 0

    await until(none_is_held, timeout_s=15, what="what was held is recorded")
    assert await inbox.recorded() == {"h-0": 1, "h-1": 1, "h-2": 1}
    assert await inbox.letters() == []


async def test_strangers_become_contacts_where_the_workspace_wants_that(inbox: InboxRig) -> None:
    await inbox.begin(unknown_contacts="create")
    await inbox.start()
    await inbox.send(*(plain(f"s-{n}", contact={"email": "new@example.com"}) for n in range(5)))
    await inbox.empty()
    assert sum((await inbox.recorded()).values()) == 5
    created = [e for e in (await inbox.store.read_lane(0, after=0, limit=100)).events if e.type == "contact.created"]
    assert len(created) == 1


async def test_nothing_is_recorded_of_a_blocked_contact_and_it_is_counted(inbox: InboxRig) -> None:
    await inbox.begin()
    contact = await inbox.create(external_id="c-0")
    block = c.BlockContact(workspace_id=inbox.workspace_id, contact_id=contact, reason="test")
    await inbox.contacts.execute(block, metadata=Metadata())
    await inbox.start()
    await inbox.send(plain("b-1"), plain("b-2"))
    await inbox.empty()
    assert await inbox.recorded() == {}
    assert inbox.figures.counts == {"dropped": 2}


async def test_an_error_nobody_foresaw_puts_aside_one_message_after_some_tries(
    inbox: InboxRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "TRY_AGAIN_S", 0.05)
    key = ActivityHandler._key

    def broken(self: ActivityHandler, command: Any) -> str:
        if command.activity_id == "bug":
            raise ZeroDivisionError
        return key(self, command)

    monkeypatch.setattr(ActivityHandler, "_key", broken)
    await inbox.begin()
    await inbox.create(external_id="c-0")
    await inbox.define()
    await inbox.send(*(plain(f"ok-{n}") for n in range(40)), plain("bug"), *(plain(f"on-{n}") for n in range(40)))
    await inbox.start()
    await inbox.empty()
    assert len(await inbox.recorded()) == 80
    (letter,) = await inbox.letters()
    assert (letter.reason.code, letter.attempts) == ("internal-error", ingest.TRIES_MAX)


async def test_streams_and_consumer_are_put_right_at_the_start_and_what_cannot_be_is_said(inbox: InboxRig) -> None:
    await inbox.begin()
    task = await inbox.start()
    task.cancel()
    broker = await Broker.connect(inbox.nats_url, name="test")
    try:
        info = await broker.api(f"CONSUMER.INFO.{INBOX}.rollbook_ingest")
        hiding = info["config"] | {"max_deliver": 3}
        body_ = {"stream_name": INBOX, "config": hiding}
        await broker.api(f"CONSUMER.CREATE.{INBOX}.rollbook_ingest", body_)
        await ensure_consumer(broker, ingest_consumer())
        info = await broker.api(f"CONSUMER.INFO.{INBOX}.rollbook_ingest")
        assert info["config"]["max_deliver"] == -1
        wrong = msgspec.structs.replace(ingest_consumer(), fixed={"ack_policy": "all"})
        with pytest.raises(ConsumerMismatch):
            await ensure_consumer(broker, wrong)
    finally:
        await broker.close()


async def test_where_there_is_no_room_for_dead_letters_the_poison_waits_and_nobody_else(
    inbox: InboxRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "NO_ROOM_S", 0.2)
    await inbox.begin()
    await inbox.create(external_id="c-0")
    await inbox.start()
    async with inbox.client() as client:
        js = client.jetstream()
        config = (await js.stream_info("ROLLBOOK_DEAD")).config
        await js.update_stream(config.evolve(max_bytes=1))
        await inbox.send(*(plain(f"g-{n}") for n in range(40)), ("message.clicked", b"poison", None))

        async def only_poison_is_left() -> bool:
            return await inbox.pending() == 1

        await until(only_poison_is_left, timeout_s=15, what="the good ones are done with")
        assert len(await inbox.recorded()) == 40
        await js.update_stream(config)
    await inbox.empty()
    (letter,) = await inbox.letters()
    assert letter.data == b"poison"
