"""Opt-outs on a real log: which addresses they reach, who can take them back, and answers that stay the same."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from contacts import errors
from contacts.catalog import CODEC
from contacts.consent import commands as c
from contacts.consent.events import CATEGORY as CONSENT
from contacts.contact.commands import CreateContact, DeleteContact, Details, EditContact
from contacts.proof import PROOF_OF, ProofRecorded
from contacts.suppression import commands as s
from contacts.suppression.events import CATEGORY as SUPPRESSION
from eventstore.envelope import Stream, Unreadable
from eventstore.store import EventStore
from tests.support.people import FORM, KEYRING, METADATA, People, Process


def some_email() -> str:
    return f"{uuid4().hex}@example.com"


async def test_an_opt_out_stops_every_spelling_from_its_answer_on(people: People) -> None:
    name = uuid4().hex
    ann = await people.create(f"{name}@gmail.com")
    assert await people.may_send_to(f"{name}@gmail.com") == [None]
    await people.unsubscribe(ann)
    spellings = [f"{name.upper()}@GMail.com", f"{name[:3]}.{name[3:]}@gmail.com", f"{name}+x@googlemail.com"]
    assert await people.may_send_to(f"{name}@gmail.com", *spellings, some_email()) == [*["unsubscribed"] * 4, None]
    assert await people.may_send(ann) == ["unsubscribed"]
    assert await people.email_status(ann) == "unsubscribed"


async def test_an_opt_out_of_one_workspace_is_none_of_another_s(people: People, strangers: People) -> None:
    email = some_email()
    await people.unsubscribe(await people.create(email))
    assert await strangers.may_send_to(email) == [None]


async def test_an_e_mail_is_blacklisted_for_all_and_a_phone_for_one(people: People, strangers: People) -> None:
    email, phone = some_email(), f"+4930{uuid4().int % 10**7:07}"
    ann, theirs = await people.create(email, phone), await strangers.create(email, phone)
    await people.ask(ann, s.BlacklistAddress, "email", reason="inactive address", cause="hard_bounce")
    await people.ask(ann, s.BlacklistAddress, "phone")
    assert await strangers.may_send(theirs) == ["blacklisted"]
    assert await strangers.may_send(theirs, channel="sms") == [None]
    assert await people.may_send(ann, channel="sms") == ["blacklisted"]
    own, other = await people.standing(ann), await strangers.standing(theirs)
    assert own.email is not None
    assert (own.email.status, own.email.reason, own.email.actor) == ("blacklisted", "inactive address", "key:tests")
    assert other.email is not None
    assert (other.email.status, other.email.reason, other.email.actor) == ("blacklisted", None, None)
    assert own.phone is not None
    assert other.phone is not None
    assert (own.phone.status, other.phone.status) == ("blacklisted", "active")


async def test_only_who_blacklisted_can_lift_it(people: People, strangers: People) -> None:
    email = some_email()
    ann, theirs = await people.create(email), await strangers.create(email)
    await people.ask(ann, s.BlacklistAddress)
    with pytest.raises(errors.SuppressedElsewhere):
        await strangers.ask(theirs, s.UnblacklistAddress, opens=True, reason="we know them")
    await strangers.ask(theirs, s.BlacklistAddress)
    await people.ask(ann, s.UnblacklistAddress, opens=True, reason="works again")
    assert await people.may_send_to(email) == ["blacklisted"]
    await strangers.ask(theirs, s.UnblacklistAddress, opens=True, reason="works again")
    assert await people.may_send_to(email) == [None]


async def test_the_way_back_needs_a_proof_or_a_reason(people: People) -> None:
    ann = await people.create(some_email())
    await people.unsubscribe(ann)
    with pytest.raises(errors.ProofMissing):
        await people.ask(ann, c.GrantConsent, opens=True)
    await people.ask(ann, c.ReportSpam)
    with pytest.raises(errors.ReasonMissing):
        await people.ask(ann, c.ClearSpam, opens=True)
    assert await people.email_status(ann) == "spam_report"
    await people.ask(ann, c.ClearSpam, opens=True, reason="clicked by mistake")
    assert await people.email_status(ann) == "unsubscribed"
    await people.ask(ann, c.GrantConsent, opens=True, proof=FORM)
    standing = await people.standing(ann)
    assert (standing.email and standing.email.status, standing.consents) == ("active", {"email": "subscribed"})


async def test_no_edit_weakens_an_opt_out(people: People) -> None:
    name = uuid4().hex
    ann = await people.create(f"{name}@gmail.com")
    await people.unsubscribe(ann)
    await people.edit(ann, email=f"{name}+news@gmail.com")
    assert await people.email_status(ann) == "unsubscribed"
    again = await people.create(f"{name}@gmail.com")
    assert await people.email_status(again) == "unsubscribed"


async def test_who_agrees_with_another_spelling_does_not_end_the_objection(people: People) -> None:
    name = uuid4().hex
    ann, alias = await people.create(f"{name}@gmail.com"), await people.create(f"{name}+x@gmail.com")
    await people.unsubscribe(ann)
    with pytest.raises(errors.ObjectionOfOtherSpelling):
        await people.ask(alias, c.GrantConsent, opens=True, proof=FORM)


async def test_a_category_is_left_without_the_rest(people: People) -> None:
    email = some_email()
    ann = await people.create(email)
    await people.ask(ann, c.UnsubscribeCategory, category="weekly")
    assert await people.may_send(ann, category="weekly") == ["category_unsubscribed"]
    assert await people.may_send_to(email, category="monthly") == [None]
    assert await people.may_send_to(email) == [None]


async def test_unsubscribing_from_all_reaches_every_address_and_channel(people: People) -> None:
    email, phone = some_email(), f"+4930{uuid4().int % 10**7:07}"
    ann = await people.create(email, phone)
    await people.ask(ann, c.UnsubscribeFromAll, None)
    assert await people.may_send(ann) == ["unsubscribed"]
    for channel in ("sms", "whatsapp", "phone"):
        assert await people.may_send(ann, channel=channel) == ["unsubscribed"]
    assert (await people.standing(ann)).consents == dict.fromkeys(("email", "phone", "sms", "whatsapp"), "unsubscribed")
    await people.ask(ann, c.GrantConsent, "sms", opens=True, proof=FORM)
    assert await people.may_send(ann, channel="sms") == [None]
    assert await people.may_send(ann, channel="whatsapp") == ["unsubscribed"]


async def test_of_a_merged_profile_the_most_restrictive_counts(people: People) -> None:
    primary, other = await people.create(some_email()), await people.create(some_email())
    await people.unsubscribe(other)
    await people.merge(primary, other)
    assert await people.may_send(primary, other) == ["unsubscribed"] * 2
    assert await people.email_status(primary) == "unsubscribed"


async def test_an_opt_out_of_a_merged_profile_reaches_all_its_addresses(people: People) -> None:
    emails = [some_email(), some_email()]
    primary, other = [await people.create(email) for email in emails]
    await people.merge(primary, other)
    await people.unsubscribe(other)
    assert await people.may_send_to(*emails) == ["unsubscribed"] * 2
    # What the profile shows is what an agreement is about.
    await people.ask(primary, c.GrantConsent, opens=True, proof=FORM)
    assert await people.may_send_to(*emails) == [None, "unsubscribed"]
    assert await people.email_status(primary) == "unsubscribed"


async def test_objections_are_taken_from_deleted_contacts_and_agreements_are_not(people: People) -> None:
    email = some_email()
    ann = await people.create(email)
    delete = DeleteContact(workspace_id=people.workspace_id, contact_id=ann, reason="test")
    await people.process.contacts.execute(delete, metadata=METADATA)
    await people.unsubscribe(ann)
    assert await people.may_send_to(email) == ["unsubscribed"]
    assert await people.may_send(ann) == ["deleted"]
    with pytest.raises(errors.ContactIsDeleted):
        await people.ask(ann, c.GrantConsent, opens=True, proof=FORM)


async def test_what_cannot_be_reached_is_refused(people: People, strangers: People) -> None:
    ann = await people.create(some_email())
    with pytest.raises(errors.NoSuchAddress):
        await people.unsubscribe(ann, "sms")
    for nobody in (uuid4(), await strangers.create(some_email())):
        with pytest.raises(errors.ContactNotFound):
            await people.unsubscribe(nobody)
        assert await people.may_send(nobody) == ["not_found"]
    assert await people.may_send(ann, channel="sms") == ["no_address"]
    assert await people.may_send_to("no address", "a@b") == ["invalid_address"] * 2


async def test_if_match_is_honoured_and_the_version_stays(people: People) -> None:
    ann = await people.create(some_email())
    with pytest.raises(errors.VersionMismatch):
        await people.unsubscribe(ann, expected_version=2)
    assert (await people.unsubscribe(ann, expected_version=1)).version == 1


async def test_a_repeated_request_has_one_effect_and_the_first_answer(people: People) -> None:
    email = some_email()
    ann = await people.create(email)
    first = await people.unsubscribe(ann, key="k", digest=b"request")
    await people.ask(ann, c.GrantConsent, opens=True, proof=FORM)
    again = await people.unsubscribe(ann, key="k", digest=b"request")
    assert again.replayed
    assert (again.contact, again.appended) == (first.contact, first.appended)
    assert await people.may_send_to(email) == [None]
    standing = await people.standing(ann, position=again.appended.last_position)
    assert standing.email is not None
    assert standing.email.status == "unsubscribed"
    with pytest.raises(errors.IdempotencyKeyReused):
        await people.unsubscribe(ann, key="k", digest=b"another")


async def test_a_repeat_without_effect_writes_nothing(people: People) -> None:
    ann = await people.create(some_email())
    first = await people.unsubscribe(ann)
    again = await people.unsubscribe(ann)
    assert (first.appended.event_count, again.appended.event_count) == (2, 0)
    assert again.appended.last_position >= first.appended.last_position


async def test_of_racing_requests_each_has_its_effect_once(people: People) -> None:
    email = some_email()
    contacts = [await people.create(email) for _ in range(5)]
    await asyncio.gather(*(people.unsubscribe(contact) for contact in contacts * 4))
    stream = Stream(people.workspace_id, CONSENT, people.address_id(email))
    assert len(await people.process.store.read_stream(stream)) == 1


async def test_proof_is_encrypted_and_its_loss_leaves_the_facts(people: People) -> None:
    email = some_email()
    ann = await people.create(email)
    await people.ask(ann, s.BlacklistAddress, reason="asked us on the phone")
    store = people.process.store
    stream = Stream(people.workspace_id, PROOF_OF[SUPPRESSION], people.address_id(email))
    (proof,) = await store.read_stream(stream)
    assert isinstance(proof.event, ProofRecorded)
    assert (proof.event.address, proof.event.reason) == (email, "asked us on the phone")
    raw = await store.pool.fetch("SELECT payload, metadata FROM log.events WHERE stream_id = $1", stream.id)
    assert len(raw) == 2
    for row in raw:
        assert email.encode() not in bytes(row["payload"]) + bytes(row["metadata"])
        assert b"phone" not in bytes(row["payload"])


async def test_facts_are_recorded_also_where_the_key_of_the_proof_was_destroyed(people: People) -> None:
    email = some_email()
    ann = await people.create(email)
    await people.ask(ann, s.BlacklistAddress, reason="asked us on the phone")
    await people.process.store.pool.execute(
        "DELETE FROM keys.subject_keys WHERE workspace_id = $1", people.workspace_id
    )
    assert await people.may_send_to(email) == ["blacklisted"]
    restarted = await EventStore.open(people.process.dsn, codec=CODEC, keyring=KEYRING, pool_size=2)
    suppressions = Process.on(restarted, people.process.dsn).suppressions
    entry = people.address_id(email)
    lifted = await suppressions.lift(people.workspace_id, entry, "asked again", metadata=METADATA)
    assert lifted.entry is None
    assert await people.may_send_to(email) == [None]
    first, second = await restarted.read_stream(Stream(people.workspace_id, PROOF_OF[SUPPRESSION], entry))
    assert isinstance(first.event, Unreadable)
    assert second.event == ProofRecorded(fact_version=3, address="", reason="asked again")
    await restarted.close()


async def test_contacts_of_some_sources_wait_to_be_confirmed(people: People) -> None:
    email, settings = some_email(), frozenset({"subscription_form"})
    known = await people.create(some_email(), double_opt_in=settings)
    assert await people.email_status(known) == "active"
    ann = await people.create(email, source="subscription_form", double_opt_in=settings)
    assert await people.may_send_to(email) == ["not_confirmed"]
    assert await people.email_status(ann) == "not_confirmed"
    await people.ask(ann, c.ConfirmDoubleOptIn, opens=True, proof=FORM)
    standing = await people.standing(ann)
    assert (standing.email and standing.email.status, standing.consents) == ("active", {"email": "subscribed"})
    again = await people.create(email, source="subscription_form", double_opt_in=settings)
    assert await people.email_status(again) == "active"


async def test_another_e_mail_of_such_a_contact_waits_to_be_confirmed_too(people: People) -> None:
    settings, other = frozenset({"subscription_form"}), some_email()
    ann = await people.create(some_email(), source="subscription_form", double_opt_in=settings)
    edit = EditContact(
        workspace_id=people.workspace_id, contact_id=ann, details=Details(email=other), double_opt_in=settings  # type: ignore[arg-type]
    )  # fmt: skip
    outcome = await people.process.contacts.execute(edit, metadata=METADATA, idempotency_key="edit")
    assert await people.may_send_to(other) == ["not_confirmed"]
    again = await people.process.contacts.execute(edit, metadata=METADATA, idempotency_key="edit")
    assert (again.contact, again.created, again.replayed) == (outcome.contact, False, True)


async def test_a_repeated_creation_that_waits_to_be_confirmed_is_told_as_created(people: People) -> None:
    command = CreateContact(
        workspace_id=people.workspace_id, contact_id=uuid4(), source="subscription_form",
        details=Details(email=some_email()), double_opt_in=frozenset({"subscription_form"}),  # type: ignore[arg-type]
    )  # fmt: skip
    first, again = [
        await people.process.contacts.execute(command, metadata=METADATA, idempotency_key="k") for _ in range(2)
    ]
    assert (first.created, again.created, again.replayed) == (True, True, True)
    assert again.contact == first.contact


async def test_racing_contacts_with_one_address_ask_for_one_confirmation(people: People) -> None:
    email = some_email()
    fields = {"source": "subscription_form", "double_opt_in": frozenset({"subscription_form"})}
    await asyncio.gather(*(people.create(email, **fields) for _ in range(8)))
    stream = Stream(people.workspace_id, CONSENT, people.address_id(email))
    assert len(await people.process.store.read_stream(stream)) == 1
