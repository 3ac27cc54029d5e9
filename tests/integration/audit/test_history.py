"""The history of contacts in readable entries: merged contacts, addresses, other workspaces and erasures included."""

from __future__ import annotations

from uuid import uuid4

import pytest

from contacts import errors
from contacts.contact import commands as c
from tests.integration.audit.conftest import Desk


async def test_every_change_is_told_with_who_did_it(desk: Desk) -> None:
    ann = await desk.create(first_name="Ann", email="ann@example.com")
    await desk.edit(ann, first_name="Anna", attributes={"plan": "gold"})
    await desk.delete(ann)
    entries = await desk.history(ann)
    assert [(entry.event, entry.version, entry.actor_name) for entry in entries] == [
        ("contact.created", 1, "API key “CRM sync”"),
        ("contact.details_changed", 2, "API key “CRM sync”"),
        ("contact.deleted", 3, "API key “CRM sync”"),
    ]
    assert {change.field: (change.old, change.new) for change in entries[1].changes} == {
        "first_name": ("Ann", "Anna"),
        "attributes.plan": (None, "gold"),
    }
    assert entries[1].sentence == (
        "API key “CRM sync” edited this contact over the API: changed first name from “Ann” to “Anna” and set the "
        "attribute “plan” to “gold”."
    )


async def test_a_merge_brings_the_earlier_history_of_the_others_marked_as_such(desk: Desk) -> None:
    ann, bea = await desk.create(first_name="Ann"), await desk.create(last_name="Meyer", email="b@example.com")
    await desk.tag(bea, "vip")
    merge = await desk.merged(ann, bea)
    await desk.tag(bea, "late")
    told = [(e.event, e.contact, e.before_merge, e.merge) for e in await desk.history(ann)]
    assert told == [
        ("contact.created", ann, False, None),
        ("contact.created", bea, True, merge),
        ("contact.tagged", bea, True, merge),
        ("contact.merged", ann, False, None),
        ("contact.absorbed", bea, False, merge),
        ("contact.tagged", ann, False, None),
    ]
    merged = next(e for e in await desk.history(ann) if e.event == "contact.merged")
    assert {change.field: change.new for change in merged.changes} == {
        "last_name": "Meyer", "email": "b@example.com", "tags": ("vip",),
    }  # fmt: skip
    await desk.unmerged(merge)
    events = [(e.event, e.contact) for e in await desk.history(ann)]
    assert ("contact.created", bea) not in events
    assert events[-1] == ("contact.unmerged", ann)
    # The one that left has all that was shown of it while it was part of the other.
    assert [e.event for e in await desk.history(bea)] == [
        "contact.created", "contact.tagged", "contact.absorbed", "contact.tagged", "contact.unmerged",
        "contact.reinstated",
    ]  # fmt: skip


async def test_what_was_said_of_its_addresses_is_part_of_it(desk: Desk) -> None:
    email = f"{uuid4()}@example.com"
    ann = await desk.create(email=email)
    await desk.agree(email)
    await desk.object(email)
    await desk.list_black(email)
    entries = (await desk.history(ann))[1:]
    assert [e.event for e in entries] == ["consent.granted", "consent.withdrawn", "suppression.address_blacklisted"]
    assert [[(c_.field, c_.new) for c_ in e.changes] for e in entries] == [
        [("consents.email", "subscribed")],
        [("email_status", "unsubscribed"), ("consents.email", "unsubscribed")],
        [("email_status", "blacklisted")],
    ]
    done = f"put the e-mail address on the blacklist at “{email}”"
    assert entries[2].sentence == f"API key “CRM sync” {done} over the API, because: “on the phone”."


async def test_lists_are_told_by_their_names(desk: Desk) -> None:
    ann = await desk.create()
    newsletter, forgotten = await desk.list_called("Old news", "Newsletter"), uuid4()
    await desk.of(c.AddContactToLists, ann, lists=(newsletter, forgotten))
    await desk.of(c.RemoveContactFromLists, ann, lists=(newsletter,))
    added, removed = (await desk.history(ann))[1:]
    assert "this contact on the lists" in added.sentence
    assert ("“Newsletter”" in added.sentence, f"“{forgotten}”" in added.sentence) == (True, True)
    assert removed.sentence == "API key “CRM sync” took this contact off the list “Newsletter” over the API."


async def test_another_workspace_that_blacklists_the_address_is_told_without_saying_which(desk: Desk) -> None:
    email = f"{uuid4()}@example.com"
    ann = await desk.create(email=email)
    other = Desk(desk.store, uuid4())
    await other.list_black(email)
    entry = (await desk.history(ann))[-1]
    assert (entry.event, entry.event_id, entry.actor, entry.source) == (
        "suppression.address_blacklisted", None, None, "installation",
    )  # fmt: skip
    assert [(change.field, change.new) for change in entry.changes] == [("email_status", "blacklisted")]
    assert entry.sentence == "Another workspace of this installation put the e-mail address on the blacklist."


async def test_the_history_of_an_erased_contact_shows_its_shape_and_no_content(desk: Desk) -> None:
    ann = await desk.create(email="ann.history@example.com", first_name="Ann")
    await desk.tag(ann, "vip")
    await desk.erase(ann)
    entries = await desk.history(ann)
    assert [(e.event, e.erased) for e in entries] == [
        ("contact.created", True), ("contact.tagged", True), ("contact.erased", False)
    ]  # fmt: skip
    assert {change.field for entry in entries for change in entry.changes} <= {"created_at"}
    assert "because the person asked for it" in entries[2].sentence
    with pytest.raises(errors.ContactIsErased):
        await desk.provenance(ann)
    with pytest.raises(errors.ContactIsErased):
        await desk.diff(ann, 0, await desk.head())


async def test_an_erased_part_of_an_earlier_profile_leaves_the_others_readable(desk: Desk) -> None:
    ann, bea = await desk.create(first_name="Ann"), await desk.create(first_name="Bea", last_name="Meyer")
    merge = await desk.merged(ann, bea)
    await desk.unmerged(merge)
    await desk.erase(bea)
    entries = await desk.history(ann)
    assert not any("Meyer" in str(entry) for entry in entries)
    assert (await desk.provenance(ann))["first_name"].value == "Ann"


async def test_it_is_told_as_of_any_position(desk: Desk) -> None:
    ann = await desk.create(first_name="Ann")
    then = await desk.head()
    await desk.of(c.BlockContact, ann)
    assert [e.event for e in await desk.history(ann, then)] == ["contact.created"]
    with pytest.raises(errors.ContactNotFound):
        await desk.history(ann, then - 1)
    with pytest.raises(errors.ContactNotFound):
        await desk.history(uuid4())
