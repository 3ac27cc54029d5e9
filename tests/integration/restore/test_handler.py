"""Restoring on a real log: it comes back whoever took its unique values meanwhile, and nothing of anybody is lost."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from contacts import errors
from contacts.contact import commands as c
from contacts.restore.refusals import RestoreConflict
from eventstore.envelope import Stream
from tests.integration.restore.conftest import Desk


async def test_a_conflict_is_told_with_all_that_was_taken_and_changes_nothing(desk: Desk) -> None:
    lost, successor = await desk.deleted_and_succeeded(messaging_id="m-1")
    other = await desk.create(messaging_id="m-1", email="o@example.com")
    with pytest.raises(RestoreConflict) as refused:
        await desk.restore(lost)
    conflict = refused.value
    assert [(each.contact, each.field, each.holder) for each in conflict.taken] == [
        (lost, "external_id", successor),
        (lost, "messaging_id", other),
    ]
    assert (conflict.holder, conflict.kind, conflict.primary) == (successor, "external_id", successor)
    assert (await desk.shown(lost)).deleted


async def test_released_it_comes_back_without_what_was_taken(desk: Desk) -> None:
    lost, successor = await desk.deleted_and_succeeded()
    restored = await desk.restore(lost, "release")
    contact = restored.outcome.contact
    assert (contact.id, contact.deleted, contact.external_id) == (lost, False, None)
    assert (contact.first_name, contact.email, contact.tags) == ("Ann", "ann@example.com", ("vip",))
    assert [(each.contact, each.field, each.holder) for each in restored.released] == [(lost, "external_id", successor)]
    assert await desk.beside().contacts.load(desk.workspace.id, lost) == contact
    assert await desk.holder("external_id", "c-1") == successor


async def test_merged_it_becomes_part_of_the_holder_and_comes_out_again(desk: Desk) -> None:
    lost, successor = await desk.deleted_and_succeeded()
    restored = await desk.restore(lost, "merge")
    profile = restored.outcome.contact
    assert (profile.id, profile.first_name, profile.email) == (successor, "Anna", "ann@example.com")
    assert (profile.external_id, profile.tags, profile.absorbed) == ("c-1", ("new", "vip"), (lost,))
    await desk.unmerge(restored.merge_id)
    again, kept = await desk.shown(lost), await desk.shown(successor)
    assert (again.deleted, again.external_id, again.first_name, again.tags) == (False, None, "Ann", ("vip",))
    assert (kept.external_id, kept.email, kept.tags) == ("c-1", None, ("new",))
    # Planted bug: an absorbed contact that still says the id of its holder would have it twice after the unmerge.
    assert await desk.holder("external_id", "c-1") == successor


async def test_what_nobody_took_is_held_again_and_comes_along(desk: Desk) -> None:
    lost, successor = await desk.deleted_and_succeeded(messaging_id="m-1")
    restored = await desk.restore(lost, "merge")
    assert restored.outcome.contact.messaging_id == "m-1"
    assert await desk.holder("messaging_id", "m-1") == lost
    await desk.unmerge(restored.merge_id)
    assert (await desk.shown(lost)).messaging_id == "m-1"
    assert successor != lost


async def test_a_merged_profile_comes_back_whole_without_what_was_taken_of_its_parts(desk: Desk) -> None:
    root = await desk.create(external_id="r", email="root@example.com")
    part = await desk.create(external_id="p", email="part@example.com", tags=["part"])
    await desk.merge(root, part)
    await desk.delete(root)
    taker = await desk.create(external_id="p")
    restored = await desk.restore(part, "release")
    contact = restored.outcome.contact
    assert (contact.id, contact.external_id, contact.tags, contact.absorbed) == (root, "r", ("part",), (part,))
    assert [(each.contact, each.holder) for each in restored.released] == [(part, taker)]
    assert await desk.holder("external_id", "r") == root


async def test_a_holder_that_is_part_of_another_stands_for_that_one(desk: Desk) -> None:
    lost, successor = await desk.deleted_and_succeeded()
    root = await desk.create(email="root@example.com")
    await desk.merge(root, successor)
    restored = await desk.restore(lost, "merge")
    assert restored.outcome.contact_id == root
    assert set(restored.outcome.contact.absorbed) == {successor, lost}


@pytest.mark.parametrize("way", ["merge", "release"])
async def test_a_repeat_gets_the_first_answer(desk: Desk, way: str) -> None:
    lost, _ = await desk.deleted_and_succeeded()
    first = await desk.restore(lost, way, key="once")
    await desk.tag(lost, "later")
    for each in (desk, desk.beside()):
        again = await each.restore(lost, way, key="once")
        assert again.outcome.replayed
        assert (again.outcome.contact, again.outcome.version) == (first.outcome.contact, first.outcome.version)
        assert (again.merge_id, again.released) == (first.merge_id, first.released)


@pytest.mark.parametrize("way", ["merge", "release"])
async def test_many_at_once_restore_it_once(desk: Desk, way: str) -> None:
    lost, _ = await desk.deleted_and_succeeded()
    await asyncio.gather(*(each.restore(lost, way) for each in [desk, *(desk.beside() for _ in range(5))]))
    events = await desk.store.read_stream(Stream(desk.workspace.id, "contact", lost))
    assert [event.type for event in events].count("contact.restored") == 1


async def test_a_blocked_contact_can_be_released_and_not_merged(desk: Desk) -> None:
    lost = await desk.create(external_id="c-1")
    await desk.of(c.BlockContact, lost)
    await desk.delete(lost)
    await desk.create(external_id="c-1")
    with pytest.raises(RestoreConflict) as refused:
        await desk.restore(lost)
    assert refused.value.primary is None
    with pytest.raises(errors.ContactIsBlocked):
        await desk.restore(lost, "merge")
    assert (await desk.shown(lost)).deleted
    # It has nothing left to be recognised by, and comes back all the same.
    contact = (await desk.restore(lost, "release")).outcome.contact
    assert (contact.blocked, contact.deleted, contact.external_id) == (True, False, None)


async def test_without_a_conflict_every_way_is_the_plain_one(desk: Desk) -> None:
    for way in ("offer", "merge", "release"):
        contact = await desk.create(external_id=f"free-{way}")
        await desk.delete(contact)
        restored = await desk.restore(contact, way)
        assert (restored.merge_id, restored.released) == (None, ())
        assert restored.outcome.contact.external_id == f"free-{way}"
        assert (await desk.restore(contact, way)).outcome.version == restored.outcome.version


async def test_what_is_gone_or_never_was_is_refused(desk: Desk) -> None:
    lost, _ = await desk.deleted_and_succeeded()
    await desk.erase(lost)
    for way in ("offer", "merge", "release"):
        with pytest.raises(errors.ContactIsErased):
            await desk.restore(lost, way)
        with pytest.raises(errors.ContactNotFound):
            await desk.restore(UUID(int=7), way)


async def test_who_leaves_a_deleted_profile_can_go_without_what_was_taken(desk: Desk) -> None:
    root, part = await desk.create(email="root@example.com"), await desk.create(external_id="p", messaging_id="m")
    below = await desk.create(external_id="b")
    await desk.merge(part, below)
    merge_id = await desk.merge(root, part)
    await desk.delete(root)
    taker, other = await desk.create(external_id="p"), await desk.create(external_id="b")
    with pytest.raises(errors.ClaimTakenRefusal):
        await desk.unmerge(merge_id)
    await desk.unmerge(merge_id, release=True)
    back = await desk.shown(part)
    assert (back.id, back.deleted, back.external_id, back.messaging_id) == (part, False, None, "m")
    assert back.absorbed == (below,)
    assert (await desk.shown(root)).deleted
    assert [await desk.holder("external_id", value) for value in ("p", "b")] == [taker, other]
    assert await desk.holder("messaging_id", "m") == part


async def test_who_leaves_a_present_profile_keeps_everything(desk: Desk) -> None:
    root, part = await desk.create(email="root@example.com"), await desk.create(external_id="p")
    merge_id = await desk.merge(root, part)
    await desk.unmerge(merge_id, release=True)
    assert (await desk.shown(part)).external_id == "p"
