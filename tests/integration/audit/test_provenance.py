"""Where what a contact shows comes from: field by field, through merges, with all there was before."""

from __future__ import annotations

from uuid import uuid4

from contacts.contact import commands as c
from tests.integration.audit.conftest import Desk


async def test_a_field_names_what_set_it_and_all_it_was_before(desk: Desk) -> None:
    ann = await desk.create(first_name="Ann")
    await desk.edit(ann, attributes={"plan": "free"})
    for name in ("Anna", None, "Anne"):
        await desk.edit(ann, first_name=name)
    field = (await desk.provenance(ann))["first_name"]
    assert (field.value, field.contact, field.merge) == ("Anne", ann, None)
    event = field.set_by
    assert (event.event, event.actor, event.source) == ("contact.details_changed", "key:crm", "api")
    assert event.actor_name == "API key “CRM sync”"
    assert field.shown_since == field.set_by
    assert [(e.value, e.set_by.event) for e in field.earlier] == [
        ("Ann", "contact.created"), ("Anna", "contact.details_changed"),
    ]  # fmt: skip
    assert field.earlier[0].until == field.earlier[1].set_by
    plan = (await desk.provenance(ann))["attributes.plan"]
    assert (plan.value, plan.set_by.event, plan.earlier) == ("free", "contact.details_changed", ())


async def test_a_cleared_field_says_what_cleared_it(desk: Desk) -> None:
    ann = await desk.create(last_name="Meyer", email="a@example.com")
    await desk.edit(ann, last_name=None)
    field = (await desk.provenance(ann))["last_name"]
    assert (field.value, field.set_by.event) == (None, "contact.details_changed")
    assert [e.value for e in field.earlier] == ["Meyer"]
    assert "phone" not in await desk.provenance(ann)


async def test_every_element_of_a_set_has_its_own(desk: Desk) -> None:
    ann = await desk.create(email="a@example.com", tags=["vip"])
    await desk.tag(ann, "new")
    await desk.of(c.UntagContact, ann, tags=("vip",))
    await desk.of(c.ConnectChannel, ann, channel=c.ChannelIdentity(kind="telegram", token="1"))
    fields = await desk.provenance(ann)
    assert (fields["tags:new"].value, fields["tags:new"].set_by.event) == ("new", "contact.tagged")
    assert (fields["tags:vip"].value, fields["tags:vip"].set_by.event) == (None, "contact.untagged")
    assert [e.set_by.event for e in fields["tags:vip"].earlier] == ["contact.created"]
    (channel,) = [field for field in fields.values() if field.field == "channels"]
    assert (channel.value.token, channel.set_by.event) == ("1", "contact.channel_connected")


async def test_a_merged_profile_says_who_contributed_what_by_which_merge(desk: Desk) -> None:
    ann = await desk.create(first_name="Ann")
    bea = await desk.create(first_name="Bea", last_name="Meier", email="b@example.com", tags=["vip"])
    await desk.edit(bea, last_name="Meyer")
    merge = await desk.merged(ann, bea)
    fields = await desk.provenance(ann)
    last = fields["last_name"]
    assert (last.value, last.contact, last.merge) == ("Meyer", bea, merge)
    assert (last.set_by.event, last.set_by.contact) == ("contact.details_changed", bea)
    assert (last.shown_since.event, last.shown_since.contact) == ("contact.merged", ann)
    # What it was before the merge, and what stays hidden behind the primary's value.
    assert [(e.value, e.contact, e.shown_since) for e in last.earlier] == [("Meier", bea, None)]
    assert last.earlier[0].until == last.set_by
    first = fields["first_name"]
    assert (first.value, first.contact, first.merge) == ("Ann", ann, None)
    assert [(e.value, e.contact, e.merge, e.until) for e in first.earlier] == [("Bea", bea, merge, None)]
    assert (fields["tags:vip"].contact, fields["tags:vip"].merge) == (bea, merge)
    # Asked for by the absorbed id it is the same profile, told from its own side.
    own = (await desk.provenance(bea))["last_name"]
    assert (own.value, own.contact, own.merge, own.shown_since.event) == (
        "Meyer",
        bea,
        merge,
        "contact.details_changed",
    )


async def test_after_an_unmerge_values_that_left_are_earlier_ones(desk: Desk) -> None:
    ann, bea = await desk.create(first_name="Ann"), await desk.create(last_name="Meyer", email="b@example.com")
    merge = await desk.merged(ann, bea)
    await desk.unmerged(merge)
    last = (await desk.provenance(ann))["last_name"]
    assert (last.value, last.set_by.event) == (None, "contact.unmerged")
    assert [(e.value, e.contact, e.merge) for e in last.earlier] == [("Meyer", bea, merge)]
    kept = (await desk.provenance(bea))["last_name"]
    assert (kept.value, kept.contact, kept.merge) == ("Meyer", bea, None)


async def test_nested_merges_name_the_merge_that_brought_the_branch(desk: Desk) -> None:
    root, middle, leaf = [await desk.create() for _ in range(3)]
    await desk.edit(leaf, last_name="Leaf")
    await desk.merged(middle, leaf)
    above = await desk.merged(root, middle)
    last = (await desk.provenance(root))["last_name"]
    assert (last.value, last.contact, last.merge, last.set_by.contact) == ("Leaf", leaf, above, leaf)


async def test_consent_and_status_name_the_fact_and_come_along_with_an_address(desk: Desk) -> None:
    email = f"{uuid4()}@example.com"
    await desk.object(email)
    ann = await desk.create(phone="+4930901820")
    await desk.edit(ann, email=desk.keys.email(email).text)
    fields = await desk.provenance(ann)
    status = fields["email_status"]
    assert (status.value, status.contact, status.set_by.event) == ("unsubscribed", None, "consent.withdrawn")
    assert status.shown_since.event == "contact.details_changed"
    await desk.agree(email)
    consent = (await desk.provenance(ann))["consents.email"]
    assert (consent.value, consent.set_by.event) == ("subscribed", "consent.granted")
    assert [(e.value, e.set_by.event) for e in consent.earlier] == [("unsubscribed", "consent.withdrawn")]


async def test_a_status_names_the_fact_that_made_it_and_not_the_latest_one(desk: Desk) -> None:
    email = f"{uuid4()}@example.com"
    ann = await desk.create(email=email)
    await desk.list_black(email)
    await desk.agree(email)
    for contact in (ann, await desk.create(email=email)):
        fields = await desk.provenance(contact)
        assert (fields["email_status"].value, fields["email_status"].set_by.event) == (
            "blacklisted", "suppression.address_blacklisted",
        )  # fmt: skip
        assert fields["consents.email"].set_by.event == "consent.granted"


async def test_a_difference_over_a_merge_names_both_contacts_and_the_merge_as_cause(desk: Desk) -> None:
    ann, bea = await desk.create(first_name="Ann"), await desk.create(first_name="Bea")
    alone = await desk.head()
    await desk.merged(ann, bea)
    found = await desk.diff(bea, alone, await desk.head())
    assert (found.contact_before, found.contact_after) == (bea, ann)
    (first,) = [field for field in found.fields if field.field == "first_name"]
    assert (first.before, first.after, [e.event for e in first.events]) == ("Bea", "Ann", ["contact.absorbed"])
    whole = await desk.diff(ann, 0, await desk.head())
    assert (whole.contact_before, whole.version_before, whole.version_after) == (None, 0, 2)
