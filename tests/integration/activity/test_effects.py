"""What activity does besides the timeline: bounces, complaints and objections reach the ledger, each once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from contacts.activity.handler import ActivityHandler, Result
from contacts.activity.input import ActivityInput, ChannelReferenceInput, ContactReferenceInput, record_activity
from contacts.activity.matching import Matcher
from contacts.activity.strangers import Strangers
from contacts.addresses import AddressKeys
from contacts.consent.reading import Standings
from contacts.consent.standing import Standing
from contacts.contact import commands as c
from contacts.contact.input import ChannelInput
from contacts.contact.state import Contact
from contacts.workspace.state import Settings
from eventstore.envelope import Stream
from tests.integration.activity.conftest import METADATA, NOW, Desk

ANNA: Final = "anna@example.com"


def told(id_: str, type_: str, data: dict[str, Any] | None = None, **contact: Any) -> ActivityInput:
    return ActivityInput(
        id=id_, source="mailer", type=type_, time=NOW, contact=ContactReferenceInput(**contact),
        data={"channel": "email", **(data or {})},
    )  # fmt: skip


async def result(desk: Desk, sent: ActivityInput) -> Result:
    return (await desk.send(sent)).results[0]


async def standing(desk: Desk, contact_id: UUID) -> Standing:
    standings = Standings(desk.store, desk.contacts.components, AddressKeys(desk.store.keyring.hmac))
    contact = await desk.contacts.load(desk.workspace.id, contact_id)
    return (await standings.with_standing(desk.workspace.id, contact)).standing or Standing()


async def email_status(desk: Desk, contact_id: UUID) -> tuple[str, str | None]:
    status = (await standing(desk, contact_id)).email
    return ("active", None) if status is None else (status.status, status.reason)


async def test_a_hard_bounce_blacklists_the_address_with_its_reason(desk: Desk) -> None:
    contact = await desk.create(email=f"{uuid4().hex}@example.com", external_id="bouncer")
    soft = told("b-1", "message.undelivered", {"bounce": "soft"}, external_id="bouncer")
    assert (await result(desk, soft)).outcome == "recorded"
    assert (await email_status(desk, contact))[0] == "active"
    hard = told("b-2", "message.undelivered", {"bounce": "hard", "reason": "550 no such user"}, external_id="bouncer")
    assert (await result(desk, hard)).outcome == "recorded"
    assert (await email_status(desk, contact))[0] == "blacklisted"


async def test_a_complaint_and_an_objection_are_recorded_in_the_same_commit(desk: Desk) -> None:
    email = f"{uuid4().hex}@example.com"
    contact = await desk.create(email=email)
    before = await desk.store.head(0)
    spam = await result(desk, told("s-1", "message.spam_reported", email=email))
    assert (await email_status(desk, contact))[0] == "spam_report"
    events = (await desk.store.read_lane(0, after=before, limit=100)).events
    assert {event.type for event in events} == {"activity.recorded", "consent.spam_reported", "proof.recorded"}
    assert len({event.recorded_at for event in events}) == 1
    assert spam.position <= events[-1].position
    other = f"{uuid4().hex}@example.com"
    objector = await desk.create(email=other)
    assert (await result(desk, told("u-1", "message.unsubscribed", email=other))).outcome == "recorded"
    assert (await email_status(desk, objector))[0] == "unsubscribed"


async def test_a_repeat_of_an_old_objection_does_not_undo_what_was_agreed_since(desk: Desk) -> None:
    email = f"{uuid4().hex}@example.com"
    contact = await desk.create(email=email)
    objection = told("r-1", "message.unsubscribed", email=email)
    await desk.send(objection)
    events = await desk.store.read_lane(0, after=0, limit=100_000)
    agreed = await desk.store.head(0)
    assert (await result(desk, objection)).outcome == "duplicate"
    assert await desk.store.head(0) == agreed
    assert events.events
    assert (await email_status(desk, contact))[0] == "unsubscribed"


async def test_an_objection_to_one_subject_closes_that_subject_alone(desk: Desk) -> None:
    email = f"{uuid4().hex}@example.com"
    contact = await desk.create(email=email)
    await desk.send(told("c-1", "message.unsubscribed", {"category": "News"}, email=email))
    assert (await email_status(desk, contact))[0] == "active"
    facts = {event.type for event in (await desk.store.read_lane(0, after=0, limit=100_000)).events}
    assert "consent.category_unsubscribed" in facts


@pytest.mark.parametrize("who", ["stranger", "blocked", "deleted"])
async def test_whoever_objects_is_heard_even_where_nothing_is_recorded_of_them(desk: Desk, who: str) -> None:
    email = f"{uuid4().hex}@example.com"
    if who != "stranger":
        contact = await desk.create(email=email)
        await desk.do(c.BlockContact if who == "blocked" else c.DeleteContact, contact, reason="test")
    objection = told("x-1", "message.unsubscribed", email=email)
    assert (await result(desk, objection)).outcome in ("refused", "dropped")
    head = await desk.store.head(0)
    # Told again, it is heard only once.
    assert (await result(desk, objection)).outcome in ("refused", "dropped")
    assert await desk.store.head(0) == head
    newcomer = await desk.create(email=email)
    assert (await email_status(desk, newcomer))[0] == "unsubscribed"


async def test_the_address_that_was_named_is_meant_and_not_the_one_the_contact_has_now(desk: Desk) -> None:
    old = f"{uuid4().hex}@example.com"
    contact = await desk.create(external_id="moved", email=f"{uuid4().hex}@example.com")
    await desk.send(told("n-1", "message.undelivered", {"bounce": "hard"}, external_id="moved", email=old))
    assert (await email_status(desk, contact))[0] == "active"
    assert (await email_status(desk, await desk.create(email=old)))[0] == "blacklisted"


async def test_somebody_who_writes_over_a_channel_was_seen_there(desk: Desk) -> None:
    channels = [ChannelInput(kind="telegram", token="t-seen"), ChannelInput(kind="viber", token="+4930901820")]
    contact_id = await desk.create(external_id="seen", channels=channels)
    later = replace(
        told("i-1", "conversation.message_in", channel=ChannelReferenceInput(kind="telegram", token="t-seen")),
        time=NOW,
        data={"channel": "telegram"},
    )
    contact = await desk.contacts.load(desk.workspace.id, contact_id)
    seen_before = {channel.kind: channel.last_seen_at for channel in contact.channels}
    at = datetime.now(UTC) + timedelta(hours=1)
    command = record_activity(replace(later, time=at), desk.workspace, now=at)
    report = await desk.activity.record(desk.workspace.id, [command], metadata=METADATA)
    assert report.counts == {"recorded": 1}
    contact = await desk.contacts.load(desk.workspace.id, contact_id)
    seen = {channel.kind: channel.last_seen_at for channel in contact.channels}
    assert seen == {**seen_before, "telegram": at}


async def test_strangers_become_contacts_where_the_workspace_wants_that(desk: Desk) -> None:
    workspace = replace(desk.workspace, settings=Settings(unknown_contacts="create"))
    handler = ActivityHandler(
        desk.store, desk.contacts.components, Matcher(desk.store),
        strangers=Strangers(desk.contacts, desk.store.keyring),
    )  # fmt: skip
    sent = [
        told("w-1", "web.viewed", {}, external_id="new-1", email=ANNA),
        told("w-2", "order.placed", {}, external_id="new-1"),
        told("w-3", "web.viewed", {}, channel=ChannelReferenceInput(kind="telegram", token="t-new")),
        told("w-4", "web.viewed", {}, channel=ChannelReferenceInput(kind="telegram", token="t-new")),
        told("w-5", "web.viewed", {}, id=uuid4()),
    ]
    kinds = {"web": {"name": "prices"}, "order": {"external_id": "o-1"}}
    sent = [replace(each, data=kinds[each.type.partition(".")[0]]) for each in sent]
    commands = [record_activity(each, workspace, now=NOW) for each in sent]
    report = await handler.record(workspace.id, commands, metadata=METADATA, workspace=workspace)
    assert [each.outcome for each in report.results] == ["recorded"] * 4 + ["refused"]
    first, second, third, fourth = [each.contact_id for each in report.results[:4]]
    assert first == second != third == fourth
    assert first is not None
    contact: Contact = await desk.contacts.load(workspace.id, first)
    assert (contact.external_id, contact.email, contact.source) == ("new-1", ANNA, "event")
    repeated = await handler.record(workspace.id, commands[:4], metadata=METADATA, workspace=workspace)
    assert repeated.counts == {"duplicate": 4}


async def test_a_thousand_at_once_are_as_a_thousand_alone(desk: Desk) -> None:
    people = [await desk.create(external_id=f"p-{n}") for n in range(40)]
    await desk.do(c.BlockContact, people[1], reason="test")
    await desk.merge(people[2], people[3])
    sent = [told(f"t-{n}", "message.read", external_id=f"p-{n % 40}") for n in range(1_000)]
    first = await desk.send(*sent, *sent[:50])
    assert first.counts == {"recorded": 975, "dropped": 27, "duplicate": 48}
    assert (await desk.send(*sent)).counts == {"duplicate": 975, "dropped": 25}
    assert len(await desk.recorded(people[2])) == 50
    assert not await desk.store.read_stream(Stream(desk.workspace.id, "activity", people[3]))
