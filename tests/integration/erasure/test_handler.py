"""Erasing contacts on a real log: nothing of them can be read, written or answered again, and the certificate stays."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from contacts import errors
from contacts.activity.events import ActivityRecorded, AddressedAs
from contacts.addresses import address_id
from contacts.contact import commands as c
from contacts.contact.projection import ContactProjection
from contacts.emails import parse_email
from eventstore.envelope import ANY_VERSION, Stream, StreamWrite, Write
from eventstore.errors import SubjectErased
from eventstore.verify import verify_chain
from tests.integration.erasure.conftest import Desk


async def test_an_erased_contact_is_unreadable_and_the_certificate_says_what_went(desk: Desk) -> None:
    ann = await desk.create(email="ann@example.com", first_name="Ann")
    await desk.tag(ann, "vip")
    erased = await desk.erase(ann)
    assert await desk.readable(ann) == ["contact.erased"]
    certificate = erased.erasure
    assert (certificate.contact_id, certificate.contacts, certificate.reason) == (ann, (ann,), "person_asked")
    assert (certificate.actor, certificate.erased_at) == ("key:test", erased.appended.recorded_at)
    (stream,) = certificate.streams
    assert (stream.category, stream.stream_id, stream.events) == ("contact", ann, 2)
    assert stream.first_position < stream.last_position < certificate.position == erased.appended.last_position
    assert await desk.beside().erasures.get(desk.workspace.id, certificate.id) == certificate


async def test_an_erased_contact_refuses_everything(desk: Desk) -> None:
    ann = await desk.create()
    elsewhere = desk.beside()
    await elsewhere.tag(ann, "vip")
    await desk.erase(ann)
    for each in (desk, elsewhere, desk.beside()):
        for command, fields in (
            (c.TagContact, {"tags": ("x",)}),
            (c.TagContact, {"tags": ("vip",)}),
            (c.EditContact, {"details": c.Details(first_name="Ann")}),
            (c.BlockContact, {}),
            (c.DeleteContact, {"reason": "gone"}),
            (c.RestoreContact, {}),
        ):
            with pytest.raises(errors.ContactIsErased):
                await each.of(command, ann, **fields)
    bob = await desk.create()
    with pytest.raises(errors.ContactIsErased):
        await desk.merge(bob, ann)


async def test_erasing_twice_answers_the_first_certificate(desk: Desk) -> None:
    ann = await desk.create()
    first = await desk.erase(ann, key="e1")
    for again in (await desk.erase(ann), await desk.beside().erase(ann, key="e2"), await desk.erase(ann, key="e2")):
        assert again.erasure == first.erasure
    repeat = await desk.erase(ann, key="e1")
    assert (repeat.erasure, repeat.appended, repeat.replayed) == (first.erasure, first.appended, True)
    assert await desk.readable(ann) == ["contact.erased"]


async def test_older_answers_of_an_erased_contact_are_not_given_again(desk: Desk) -> None:
    ann = await desk.create(email="ann.older@example.com", key="create")
    await desk.tag(ann, "vip", key="tag")
    await desk.erase(ann)
    for repeat in (desk.create(email="ann.older@example.com", key="create"), desk.tag(ann, "vip", key="tag")):
        with pytest.raises(errors.ContactIsErased):
            await repeat


async def test_what_was_unique_is_free_again(desk: Desk) -> None:
    ann = await desk.create(external_id="e-1", messaging_id="m-1")
    await desk.erase(ann)
    again = await desk.create(external_id="e-1", messaging_id="m-1")
    assert again != ann


async def test_a_deleted_contact_can_be_erased_and_leaves_its_successors_claims_alone(desk: Desk) -> None:
    ann = await desk.create(external_id="e-2")
    await desk.of(c.DeleteContact, ann, reason="gone")
    successor = await desk.create(external_id="e-2")
    await desk.erase(ann)
    assert await desk.store.find_claim(desk.workspace.id, "external_id", "e-2") == successor


async def test_a_merged_profile_is_erased_with_all_it_stands_for(desk: Desk) -> None:
    ann, ben, cleo = [await desk.create(external_id=name) for name in ("a", "b", "c")]
    await desk.merge(ben, cleo)
    await desk.merge(ann, ben)
    erased = await desk.erase(cleo)
    assert erased.erasure.contact_id == ann
    assert set(erased.erasure.contacts) == {ann, ben, cleo}
    for contact in (ann, ben, cleo):
        assert await desk.readable(contact) == ["contact.erased"]
        assert (await desk.erase(contact)).erasure == erased.erasure
    assert [await desk.store.find_claim(desk.workspace.id, "external_id", name) for name in "abc"] == [None] * 3


async def test_activity_goes_with_its_contact_and_no_more_of_it_is_taken(desk: Desk) -> None:
    ann = await desk.create()
    stream = Stream(desk.workspace.id, "activity", ann)
    await desk.store.append(_activity(stream))
    elsewhere = desk.beside()
    erased = await desk.erase(ann)
    assert {each.category: each.events for each in erased.erasure.streams} == {"contact": 1, "activity": 1}
    assert await desk.readable(ann, "activity") == []
    with pytest.raises(SubjectErased):
        await elsewhere.store.append(_activity(stream))


def _activity(stream: Stream) -> Write:
    clicked = ActivityRecorded(
        activity_id="a-1",
        kind="message.clicked",
        occurred_at=datetime(2026, 3, 1, tzinfo=UTC),
        source="mailer",
        addressed_as=AddressedAs(by="id", value=str(stream.id)),
        data={"channel": "email"},
    )
    part = StreamWrite(stream=stream, expected_version=ANY_VERSION, events=(clicked,), subject_id=stream.id)
    return Write(workspace_id=stream.workspace_id, streams=(part,), idempotency_key=f"activity:{uuid4()}")


async def test_proof_about_every_address_it_ever_had_goes_and_the_objection_stands(desk: Desk) -> None:
    ann = await desk.create(email="ann.first@example.com")
    await desk.blacklist("ann.first@example.com")
    await desk.of(c.EditContact, ann, details=c.Details(email=parse_email("ann.second@example.com")))
    digest = desk.keys.email_digest(parse_email("ann.first@example.com"))
    address = address_id(desk.workspace.id, digest)
    assert await desk.readable(address, "suppression_proof") == ["proof.recorded"]
    await desk.erase(ann)
    assert await desk.readable(address, "suppression_proof") == []
    assert await desk.readable(address, "suppression") == ["suppression.address_blacklisted", "proof.destroyed"]
    state = await desk.beside().facts.load("suppression", desk.workspace.id, address)
    assert state.blacklisting is not None
    await desk.blacklist("ann.first@example.com")


async def test_only_contacts_of_the_workspace_can_be_erased(desk: Desk) -> None:
    ann = await desk.create()
    stranger = Desk(desk.store, uuid4())
    for contact in (ann, uuid4()):
        with pytest.raises(errors.ContactNotFound):
            await stranger.erase(contact)
    with pytest.raises(errors.ErasureNotFound):
        await stranger.erasures.get(stranger.workspace.id, (await desk.erase(ann)).erasure.id)


async def test_a_version_that_moved_on_is_not_erased(desk: Desk) -> None:
    ann = await desk.create()
    await desk.tag(ann, "vip")
    with pytest.raises(errors.VersionMismatch):
        await desk.erase(ann, expected_version=1)
    assert len(await desk.readable(ann)) == 2


async def test_erasures_and_edits_that_race_end_erased_with_one_certificate(desk: Desk) -> None:
    ann = await desk.create()
    elsewhere = desk.beside()
    answers = await asyncio.gather(
        *(elsewhere.tag(ann, f"tag {n}") for n in range(8)),
        *((desk, elsewhere)[n % 2].erase(ann) for n in range(4)),
        return_exceptions=True,
    )
    assert {type(answer) for answer in answers if isinstance(answer, Exception)} <= {errors.ContactIsErased}
    assert len({answer.erasure.id for answer in answers[8:]}) == 1  # type: ignore[union-attr]
    assert await desk.readable(ann) == ["contact.erased"]


async def test_the_chain_still_verifies(desk: Desk) -> None:
    await desk.erase(await desk.create())
    report = await verify_chain(desk.store.pool, desk.store.lane_of(desk.workspace.id))
    assert report.first_bad_position is None


def test_the_read_model_hears_of_erasures() -> None:
    assert "contact.erased" in ContactProjection.types


async def test_what_is_left_of_an_erased_contact_is_its_id(desk: Desk) -> None:
    ann: UUID = await desk.create(email="ann.left@example.com", first_name="Ann")
    erased = await desk.erase(ann)
    contact = await desk.contacts.load(desk.workspace.id, ann)
    assert (contact.erased, contact.erased_by, contact.email, contact.first_name) == (
        True, erased.erasure.id, None, None
    )  # fmt: skip
