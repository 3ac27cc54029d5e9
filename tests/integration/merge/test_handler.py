"""Merges on a real log: who acts for whom, unique values, several processes at once, answers that stay the same."""

from __future__ import annotations

import asyncio
import random
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from contacts import errors
from contacts.contact import commands as c
from contacts.contact import events as e
from contacts.contact.handler import Outcome as ContactOutcome
from contacts.contact.history import as_of
from contacts.contact.state import Contact
from contacts.execution import Met
from contacts.merge.component import Components
from contacts.merge.handler import Outcome
from eventstore.envelope import Stream
from tests.integration.merge.conftest import Desk


def facts(contact: Contact) -> Contact:
    return msgspec.structs.replace(contact, version=0, changed_at=None)


# -- one append for all -----------------------------------------------------------------------------------------------


async def test_a_merge_is_told_to_everybody_at_one_position_without_automation(desk: Desk) -> None:
    ann, ben = await desk.create(), await desk.create()
    merged = await desk.merge(ann, ben)
    streams = [Stream(desk.workspace.id, "contact", ann), Stream(desk.workspace.id, "contact", ben)]
    streams.append(Stream(desk.workspace.id, "merge", merged.merge.id))
    last = [(await desk.store.read_stream(stream))[-1] for stream in streams]
    assert [event.type for event in last] == ["contact.merged", "contact.absorbed", "merge.completed"]
    assert {event.recorded_at for event in last} == {merged.appended.recorded_at}
    assert [event.metadata.automation for event in last] == [False] * 3
    assert (merged.appended.event_count, merged.created, merged.merge.merged) == (3, True, (ben,))


async def test_commands_on_an_absorbed_contact_act_on_the_one_that_stands_for_it(desk: Desk) -> None:
    ann, ben, cleo = [
        await desk.create(first_name=name, email=f"{name}@example.com") for name in ("Ann", "Ben", "Cleo")
    ]
    await desk.merge(ben, cleo)
    await desk.merge(ann, ben)
    channel = e.ChannelIdentity(kind="viber", token="1")
    outcomes = [
        await desk.edit(cleo, first_name="Anna"),
        await desk.of(c.TagContact, ben, tags=("vip",)),
        await desk.of(c.ConnectChannel, cleo, channel=channel),
        await desk.of(c.DeleteContact, ben, reason="asked"),
        await desk.of(c.RestoreContact, cleo),
    ]
    assert {outcome.contact_id for outcome in outcomes} == {ann}
    assert [outcome.version for outcome in outcomes] == [3, 4, 5, 6, 7]
    shown = outcomes[-1].contact
    assert shown == await desk.shown(cleo) == await desk.beside().shown(ann)
    assert (shown.first_name, shown.tags, shown.absorbed) == ("Anna", ("vip",), (ben, cleo))
    assert await desk.events(cleo) == ["contact.created", "contact.absorbed"]


async def test_an_unmerge_gives_everybody_back_what_it_was(desk: Desk) -> None:
    ann, ben, cleo = [
        await desk.create(first_name=name, email=f"{name}@example.com") for name in ("Ann", "Ben", "Cleo")
    ]
    was = [facts(await desk.shown(each)) for each in (ann, ben, cleo)]
    inner, outer = await desk.merge(ben, cleo), await desk.merge(ann, ben)
    await desk.edit(cleo, last_name="Lee")
    assert (await desk.unmerge(inner.merge.id)).merge.merged == ()
    await desk.unmerge(outer.merge.id)
    now = [facts(await desk.beside().shown(each)) for each in (ann, ben, cleo)]
    assert now == [msgspec.structs.replace(was[0], last_name="Lee"), *was[1:]]


async def test_an_edit_can_be_given_away(desk: Desk) -> None:
    ann = await desk.create(first_name="Ann", email="ann@example.com", messaging_id="m-1")
    ben = await desk.create(first_name="Ben", email="ben@example.com")
    merged = await desk.merge(ann, ben)
    await desk.edit(ann, messaging_id="m-2", first_name="Benedict")
    await desk.unmerge(merged.merge.id, messaging_id=ben, first_name=ben)
    shown = [await desk.beside().shown(each) for each in (ann, ben)]
    assert [(each.first_name, each.messaging_id) for each in shown] == [("Ann", "m-1"), ("Benedict", "m-2")]
    assert [await desk.holder("messaging_id", value) for value in ("m-1", "m-2")] == [ann, ben]


# -- several processes ------------------------------------------------------------------------------------------------


async def test_a_process_that_is_behind_finds_out_who_stands_for_whom(desk: Desk) -> None:
    behind = desk.beside()
    ann, ben = await desk.create(), await desk.create()
    await behind.edit(ben, first_name="Ben")
    await behind.edit(ann, first_name="Ann")
    merged = await desk.merge(ann, ben)
    assert (await behind.edit(ben, last_name="Lee")).contact_id == ann
    await desk.unmerge(merged.merge.id)
    assert (await behind.edit(ben, last_name="Bell")).contact_id == ben
    assert (await behind.edit(ann, country="DE")).contact_id == ann
    await desk.merge(ben, ann)
    # Its two states now say that each stands for the other.
    assert (await behind.edit(ann, country="AT")).contact_id == ben
    assert (await desk.beside().shown(ann)).country == "AT"


async def test_a_tree_that_another_process_changed_is_not_decided_on(desk: Desk) -> None:
    behind = desk.beside()
    ann, ben, cleo = await desk.create(), await desk.create(), await desk.create(email="c@example.com", tags=["c"])
    inner = await desk.merge(ben, cleo)
    await desk.merge(ann, ben)
    assert (await behind.shown(ann)).tags == ("c",)
    await desk.unmerge(inner.merge.id)
    outcome = await behind.of(c.TagContact, ann, tags=("c",))
    assert (outcome.contact.tags, outcome.appended.event_count) == (("c",), 1)
    assert (await behind.of(c.UntagContact, cleo, tags=("c",))).contact_id == cleo


async def test_overlapping_merges_have_one_winner_and_the_other_is_told_why(desk: Desk) -> None:
    for _ in range(5):
        ann, ben, cleo = await desk.create(), await desk.create(), await desk.create()
        first, second = desk.beside(), desk.beside()
        results = await asyncio.gather(first.merge(ann, ben), second.merge(cleo, ben), return_exceptions=True)
        [won] = [result for result in results if isinstance(result, Outcome)]
        [lost] = [result for result in results if isinstance(result, errors.AlreadyAbsorbed)]
        assert (lost.contact_id, lost.holder) == (ben, won.merge.primary)


async def test_two_contacts_cannot_absorb_each_other(desk: Desk) -> None:
    ann, ben = await desk.create(), await desk.create()
    results = await asyncio.gather(desk.beside().merge(ann, ben), desk.beside().merge(ben, ann), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["MergedWithItself", "Outcome"]


async def test_edits_during_merges_and_unmerges_are_all_kept(desk: Desk) -> None:
    ids = [await desk.create() for _ in range(6)]
    tags = [f"t{number:02}" for number in range(30)]
    desks = [desk.beside() for _ in range(3)]
    pick = random.Random(7)

    async def tag(number: int) -> None:
        await desks[number % 3].of(c.TagContact, pick.choice(ids), tags=(tags[number],))

    async def shuffle(other: Desk) -> None:
        for _ in range(8):
            primary, *others = pick.sample(ids, 3)
            try:
                merged = await other.merge(primary, *others)
            except (errors.AlreadyAbsorbed, errors.MergedWithItself):
                continue
            await other.unmerge(merged.merge.id, mode=pick.choice(["single", "subtree"]))

    await asyncio.gather(*map(tag, range(30)), *(shuffle(other) for other in desks))
    shown = [await desk.beside().shown(each) for each in ids]
    assert sorted({tag for contact in shown for tag in contact.tags}) == tags
    held = [contact_id for contact_id in ids if (await desk.shown(contact_id)).id == contact_id]
    assert held, "somebody always stands for itself"


async def test_random_merges_from_many_processes_leave_a_forest(desk: Desk) -> None:
    ids = [await desk.create() for _ in range(10)]
    pick = random.Random(11)

    async def work(other: Desk) -> None:
        mine: list[UUID] = []
        for _ in range(12):
            try:
                if mine and pick.random() < 0.4:
                    await other.unmerge(mine.pop(), mode=pick.choice(["single", "subtree"]))
                else:
                    primary, *others = pick.sample(ids, pick.choice([2, 2, 3, 4]))
                    mine.append((await other.merge(primary, *others)).merge.id)
            except (errors.AlreadyAbsorbed, errors.MergedWithItself):
                pass

    await asyncio.gather(*(work(desk.beside()) for _ in range(4)))
    fresh = desk.beside()
    roots = {each: (await fresh.shown(each)) for each in ids}
    for each, profile in roots.items():
        assert profile.id == each or each in profile.absorbed
    standing = {profile.id: profile for profile in roots.values()}
    assert sorted(ids) == sorted([*standing, *(below for p in standing.values() for below in p.absorbed)])


# -- unique values ----------------------------------------------------------------------------------------------------


async def test_unique_ids_stay_with_their_contacts_and_lead_to_the_profile(desk: Desk) -> None:
    ann = await desk.create(email="ann@example.com", external_id="a-1")
    ben = await desk.create(email="ben@example.com", external_id="b-1", messaging_id="m-1")
    merged = await desk.merge(ann, ben)
    assert [await desk.holder("external_id", value) for value in ("a-1", "b-1")] == [ann, ben]
    for value in ("a-1", "b-1"):
        outcome = await desk.upsert("external_id", value, external_id=value, first_name=f"by {value}")
        assert (outcome.contact_id, outcome.created, outcome.contact.first_name) == (ann, False, f"by {value}")
        assert outcome.contact.external_id == "a-1"
    assert (await desk.upsert("messaging_id", "m-1", last_name="Lee")).contact.messaging_id == "m-1"
    with pytest.raises(errors.ClaimTakenRefusal) as refused:
        await desk.create(email="x@example.com", external_id="b-1")
    assert refused.value.holder == ben
    with pytest.raises(errors.ClaimTakenRefusal) as refused:
        await desk.edit(ann, external_id="b-1")
    assert refused.value.holder == ben
    await desk.unmerge(merged.merge.id)
    assert (await desk.upsert("external_id", "b-1", country="DE")).contact_id == ben


async def test_deleting_a_profile_frees_the_ids_of_all_its_contacts_and_restoring_takes_them_back(desk: Desk) -> None:
    ann = await desk.create(email="ann@example.com", external_id="a-1")
    ben = await desk.create(email="ben@example.com", external_id="b-1")
    cleo = await desk.create(email="cleo@example.com", messaging_id="m-1")
    await desk.merge(ben, cleo)
    await desk.merge(ann, ben)
    ids = [("external_id", "a-1"), ("external_id", "b-1"), ("messaging_id", "m-1")]
    await desk.of(c.DeleteContact, cleo, reason="asked")
    assert [await desk.holder(*each) for each in ids] == [None, None, None]
    await desk.beside().of(c.RestoreContact, ben)
    assert [await desk.holder(*each) for each in ids] == [ann, ben, cleo]
    await desk.of(c.DeleteContact, ann, reason="asked")
    other = await desk.create(email="other@example.com", external_id="b-1")
    with pytest.raises(errors.ClaimTakenRefusal) as refused:
        await desk.of(c.RestoreContact, ann)
    assert refused.value.holder == other


async def test_who_comes_out_of_a_deleted_profile_holds_its_ids_again(desk: Desk) -> None:
    ann, ben = await desk.create(external_id="a-1"), await desk.create(external_id="b-1")
    merged = await desk.merge(ann, ben)
    await desk.of(c.DeleteContact, ann, reason="asked")
    await desk.unmerge(merged.merge.id)
    assert [await desk.holder("external_id", value) for value in ("a-1", "b-1")] == [None, ben]
    assert [(await desk.shown(each)).deleted for each in (ann, ben)] == [True, False]


class Finder:
    """Stands for the read model: answers what it was told."""

    def __init__(self) -> None:
        self.answer: UUID | None = None

    async def __call__(self, *_: Any, **__: Any) -> UUID | None:
        return self.answer


async def test_an_upsert_by_the_address_of_an_absorbed_contact_edits_the_profile(desk: Desk) -> None:
    find = Finder()
    desk = Desk(desk.store, desk.workspace.id, find)
    ann, ben = await desk.create(email="ann@example.com"), await desk.create(email="ben@example.com")
    made = await desk.upsert("email", "cleo@example.com", first_name="Cleo")
    await desk.merge(ann, ben, made.contact_id)
    find.answer = ben
    edited = await desk.upsert("email", "BEN@example.com", email="Ben@example.com", last_name="Lee")
    assert (edited.contact_id, edited.contact.email, edited.contact.last_name) == (ann, "ann@example.com", "Lee")
    edited = await desk.upsert("email", "cleo@example.com", country="DE")
    assert (edited.contact_id, edited.contact.email, edited.contact.country) == (ann, "ann@example.com", "DE")


# -- answers that stay the same ---------------------------------------------------------------------------------------


def answer(outcome: Outcome | ContactOutcome) -> bytes:
    """Everything an answer over the wire is made from."""
    return msgspec.msgpack.encode(msgspec.structs.replace(outcome, replayed=False))


async def test_repeats_of_merges_and_unmerges_answer_the_first_one_for_ever(desk: Desk) -> None:
    ann, ben, cleo = await desk.create(), await desk.create(), await desk.create()
    merged = await desk.merge(ann, ben, cleo, key="k-1")
    left = await desk.unmerge(merged.merge.id, ben, key="k-2")
    gone = await desk.unmerge(merged.merge.id, ben, key="k-3")
    await desk.unmerge(merged.merge.id)
    for first, again in (
        (merged, await desk.beside().merge(ann, ben, cleo, key="k-1")),
        (left, await desk.beside().unmerge(merged.merge.id, ben, key="k-2")),
        (gone, await desk.beside().unmerge(merged.merge.id, ben, key="k-3")),
    ):
        assert answer(again) == answer(first)
        assert (first.replayed, again.replayed) == (False, True)
    assert (merged.created, left.created, gone.appended.event_count) == (True, False, 0)
    with pytest.raises(errors.IdempotencyKeyReused):
        await desk.merge(ann, ben, key="k-1", digest=b"other")


async def test_parallel_repeats_of_a_merge_have_one_effect(desk: Desk) -> None:
    ann, ben = await desk.create(), await desk.create()
    outcomes = await asyncio.gather(*(desk.beside().merge(ann, ben, key="k-1") for _ in range(6)))
    assert len({answer(outcome) for outcome in outcomes}) == 1
    assert await desk.events(ben) == ["contact.created", "contact.absorbed"]


async def test_merging_what_is_merged_answers_the_merge_that_did_it(desk: Desk) -> None:
    ann, ben = await desk.create(), await desk.create()
    merged = await desk.merge(ann, ben)
    for key in (None, "k-1", "k-1"):
        again = await desk.merge(ann, ben, key=key)
        assert (again.merge, again.created, again.appended.event_count) == (merged.merge, False, 0)


async def test_an_answer_about_a_profile_stays_when_the_profile_comes_apart(desk: Desk) -> None:
    ann = await desk.create(email="ann@example.com")
    ben = await desk.create(email="ben@example.com", first_name="Ben")
    merged = await desk.merge(ann, ben)
    first = await desk.edit(ben, key="k-1", last_name="Lee")
    same = await desk.edit(ben, key="k-2", last_name="Lee")
    await desk.unmerge(merged.merge.id)
    await desk.edit(ben, first_name="Benedict")
    assert answer(await desk.beside().edit(ben, key="k-1", last_name="Lee")) == answer(first)
    assert answer(await desk.beside().edit(ben, key="k-2", last_name="Lee")) == answer(same)
    assert first.contact.first_name == "Ben"


async def test_any_past_moment_shows_who_stood_for_whom_then(desk: Desk) -> None:
    ann = await desk.create(email="ann@example.com")
    ben = await desk.create(email="ben@example.com", first_name="Ben")
    merged = await desk.merge(ann, ben)
    edited = await desk.edit(ann, first_name="Anna")
    left = await desk.unmerge(merged.merge.id)
    at = [merged.appended.last_position - 3, merged.appended.last_position, edited.appended.last_position]
    then = [await as_of(desk.store, desk.workspace.id, ben, position=p) for p in [*at, left.appended.last_position]]
    assert [(each.id, each.first_name) for each in then] == [(ben, "Ben"), (ann, "Ben"), (ann, "Anna"), (ben, "Ben")]
    assert then[2] == edited.contact
    assert await as_of(desk.store, desk.workspace.id, ann, version=2) == then[1]


# -- refusals ---------------------------------------------------------------------------------------------------------


async def test_nothing_of_another_workspace_can_be_merged_or_taken_apart(desk: Desk) -> None:
    ann, ben = await desk.create(), await desk.create()
    merged = await desk.merge(ann, ben)
    stranger = Desk(desk.store, uuid4())
    own = await stranger.create()
    for primary, other in ((own, ann), (ann, own), (own, uuid4())):
        with pytest.raises(errors.ContactNotFound):
            await stranger.merge(primary, other)
    with pytest.raises(errors.MergeNotFound):
        await stranger.unmerge(merged.merge.id)
    with pytest.raises(errors.MergeNotFound):
        await stranger.merges.get(stranger.workspace.id, merged.merge.id)


async def test_a_refused_merge_leaves_no_trace(desk: Desk) -> None:
    ann, ben = await desk.create(), await desk.create()
    await desk.of(c.BlockContact, ben)
    with pytest.raises(errors.ContactIsBlocked):
        await desk.merge(ann, ben, key="k-1")
    await desk.of(c.UnblockContact, ben)
    assert (await desk.merge(ann, ben, key="k-1")).created


async def test_a_merge_between_two_reads_of_another_one_is_not_overlooked(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found as one contact with two parents: it was read while it stood for itself, and again as part of the next."""
    a, b, c_ = [await desk.create() for _ in range(3)]
    meet, other, merged = Components.meet, desk.beside(), asyncio.Event()

    async def meddled(self: Components, stream: Stream, *, fresh: bool = False) -> Met[Contact]:
        if self is not desk.merges._components or merged.is_set():
            return await meet(self, stream, fresh=fresh)
        if stream.id == a:
            await merged.wait()
        met = await meet(self, stream, fresh=fresh)
        if stream.id == b:
            await other.merge(a, b)
            merged.set()
        return met

    monkeypatch.setattr(Components, "meet", meddled)
    with pytest.raises(errors.AlreadyAbsorbed):
        await desk.merge(c_, b, a)
