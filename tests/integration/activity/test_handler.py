"""Activity on a real log: for whom it is recorded, once, whatever happens to the contact at the same moment."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from msgspec.structs import replace

from contacts import errors
from contacts.activity.events import AddressedAs
from contacts.activity.handler import ActivityHandler
from contacts.activity.input import ChannelReferenceInput, record_activity
from contacts.contact import commands as c
from contacts.contact.input import ChannelInput
from eventstore.envelope import Stream, Write
from eventstore.errors import Overloaded
from eventstore.store import EventStore
from tests.integration.activity.conftest import METADATA, NOW, Desk, clicked


def refused(result: Any) -> str:
    assert result.outcome == "refused"
    return type(result.refusal).__name__


# -- who is meant -----------------------------------------------------------------------------------------------------


async def test_a_contact_is_known_by_everything_a_sender_may_know(desk: Desk) -> None:
    telegram = ChannelInput(kind="telegram", token="81234567", application="bot")
    contact_id = await desk.create(
        external_id="c-1", messaging_id="m-1", email="Anna@Example.com", phone="+4930901820", channels=[telegram]
    )
    await desk.create(email="ben@example.com", phone="+4930901821")
    references: list[dict[str, Any]] = [
        {"id": contact_id},
        {"external_id": "c-1"},
        {"messaging_id": "m-1"},
        {"email": "ANNA@example.com"},
        {"phone": "+49 30 901820"},
        {"channel": ChannelReferenceInput(kind="telegram", token="81234567")},
        {"channel": ChannelReferenceInput(kind="telegram", token="81234567", application="bot")},
        {"external_id": "unknown", "email": "anna@example.com"},
    ]

    report = await desk.send(*(clicked(f"a-{n}", n, **contact) for n, contact in enumerate(references)))

    assert [result.outcome for result in report.results] == ["recorded"] * len(references)
    assert {result.contact_id for result in report.results} == {contact_id}
    assert report.counts == {"recorded": len(references)}
    by = [event.event.addressed_as.by for event in await desk.recorded(contact_id)]
    assert sorted(by) == [
        "channel", "channel", "email", "email", "external_id", "id", "messaging_id", "phone",
    ]  # fmt: skip
    assert await desk.ids(contact_id) == [f"a-{n}" for n in reversed(range(len(references)))]


async def test_nobody_is_known_by_what_others_have(desk: Desk) -> None:
    telegram = ChannelInput(kind="telegram", token="7", application="bot")
    await desk.create(external_id="c-1", email="anna@example.com", channels=[telegram])
    foreign = desk.beside(uuid4())
    contact_id = await foreign.create(external_id="f-1", messaging_id="f-2", phone="+4930901820", channels=[telegram])
    for contact in (
        {"external_id": "c-2"},
        {"external_id": "f-1"},
        {"messaging_id": "f-2"},
        {"email": "ann@example.com"},
        {"phone": "+4930901820"},
        {"channel": ChannelReferenceInput(kind="telegram", token="7", application="other")},
        {"channel": ChannelReferenceInput(kind="viber", token="7")},
    ):
        assert refused(await desk.tell("a", **contact)) == "ContactUnknown", contact
    assert refused(await desk.tell("a", id=contact_id)) == refused(await desk.tell("a", id=uuid4()))
    assert await foreign.recorded(contact_id) == []


async def test_of_several_with_the_same_address_the_oldest_present_one_is_meant(desk: Desk) -> None:
    first, second, third = [await desk.create(email="same@example.com") for _ in range(3)]
    assert (await desk.tell("a", email="same@example.com")).contact_id == first
    await desk.do(c.DeleteContact, first, reason="asked")
    assert (await desk.tell("b", email="same@example.com")).contact_id == second
    assert (await desk.tell("c", id=first)).contact_id == first
    assert third not in (first, second)


async def test_a_contact_that_an_upsert_made_is_known_at_once_by_its_claim(desk: Desk) -> None:
    contact_id = await desk.upsert("email", "new@example.com")
    assert (await desk.tell("a", email="New@example.com")).contact_id == contact_id


# -- once -------------------------------------------------------------------------------------------------------------


async def test_a_repeat_is_a_duplicate_wherever_it_stands(desk: Desk) -> None:
    contact_id = await desk.create(external_id="c-1")
    first = await desk.send(clicked("a", external_id="c-1"), clicked("b", external_id="c-1"))
    again = await desk.send(*(clicked(id_, external_id="c-1") for id_ in ("a", "c", "c", "b", "c")))

    assert first.counts == {"recorded": 2}
    assert sorted(result.outcome for result in again.results) == ["duplicate"] * 4 + ["recorded"]
    assert again.results[0] == replace(first.results[0], outcome="duplicate", contact_id=None)
    assert await desk.ids(contact_id) == ["c", "b", "a"]
    other_source = replace(clicked("a", external_id="c-1"), source="other")
    assert (await desk.send(other_source)).counts == {"recorded": 1}


async def test_a_repeat_is_a_duplicate_also_where_it_would_be_refused_now(desk: Desk) -> None:
    contact_id = await desk.create(external_id="c-1")
    sent = [clicked("a", external_id="c-1"), clicked("b", id=contact_id)]
    await desk.send(*sent)
    await desk.do(c.BlockContact, contact_id)
    assert (await desk.send(*sent)).counts == {"duplicate": 2}
    await desk.do(c.UnblockContact, contact_id)
    await desk.do(c.DeleteContact, contact_id, reason="asked")
    assert (await desk.send(*sent)).counts == {"duplicate": 2}


async def test_something_else_under_the_same_id_is_refused_and_changes_nothing(desk: Desk) -> None:
    contact_id = await desk.create(external_id="c-1")
    await desk.send(clicked("a", external_id="c-1"))
    assert refused(await desk.tell("a", 1, external_id="c-1")) == "ActivityAlreadyRecorded"
    assert refused(await desk.tell("a", 1, external_id="nobody")) == "ActivityAlreadyRecorded"
    assert len(await desk.recorded(contact_id)) == 1


async def test_parts_of_a_key_cannot_be_shifted(desk: Desk) -> None:
    await desk.create(external_id="c-1")
    one = replace(clicked("b:c", external_id="c-1"), source="a")
    assert (await desk.send(one, replace(one, source="a:b", id="c"))).counts == {"recorded": 2}


async def test_many_processes_that_send_the_same_record_it_once(desk: Desk) -> None:
    contact_id = await desk.create(external_id="c-1")
    sent = [clicked(f"a-{n}", n, external_id="c-1") for n in range(20)]
    reports = await asyncio.gather(*(desk.beside().send(*sent) for _ in range(4)))
    assert sum(report.counts["recorded"] for report in reports) == 20
    assert sum(report.counts["duplicate"] for report in reports) == 60
    assert len(await desk.recorded(contact_id)) == 20


# -- blocked, deleted, edited -----------------------------------------------------------------------------------------


async def test_what_comes_from_a_blocked_contact_is_dropped_and_counted(desk: Desk) -> None:
    contact_id = await desk.create(external_id="c-1")
    await desk.do(c.BlockContact, contact_id)
    report = await desk.send(clicked("a", external_id="c-1"), clicked("b", id=contact_id), clicked("c", id=uuid4()))
    assert report.counts == {"dropped": 2, "refused": 1}
    assert await desk.recorded(contact_id) == []
    await desk.do(c.UnblockContact, contact_id)
    assert (await desk.tell("d", external_id="c-1")).outcome == "recorded"


async def test_a_process_that_has_not_heard_of_the_block_drops_as_well(desk: Desk) -> None:
    contact_id = await desk.create(external_id="c-1")
    other = desk.beside()
    await other.tell("a", external_id="c-1")
    await desk.do(c.BlockContact, contact_id)
    assert (await other.tell("b", external_id="c-1")).outcome == "dropped"
    await desk.do(c.UnblockContact, contact_id)
    assert (await other.tell("c", external_id="c-1")).outcome == "recorded"
    assert [event.event.activity_id for event in await desk.recorded(contact_id)] == ["a", "c"]


async def test_edits_and_activity_do_not_get_in_each_others_way(desk: Desk) -> None:
    contact_id = await desk.create(external_id="c-1")
    other = desk.beside()

    async def edit() -> None:
        for number in range(15):
            await other.do(c.EditContact, contact_id, details=c.Details(first_name=f"Anna {number}"))

    _, report = await asyncio.gather(
        edit(), desk.send(*(clicked(f"a-{n}", n, external_id="c-1") for n in range(60)))
    )  # fmt: skip
    assert report.counts == {"recorded": 60}
    assert [event.version for event in await desk.recorded(contact_id)] == list(range(1, 61))
    assert (await desk.contacts.load(desk.workspace.id, contact_id)).version == 16


async def test_results_keep_the_order_of_what_was_sent_refusals_among_them(desk: Desk) -> None:
    await desk.create(external_id="c-1")
    invalid = errors.InvalidInput([errors.InvalidField("/data", "is wrong", "something else")])
    sent = (clicked("a", external_id="c-1"), clicked("b", external_id="nobody"))
    commands = [record_activity(each, desk.workspace, now=NOW) for each in sent]
    report = await desk.activity.record(desk.workspace.id, [invalid, *commands, invalid], metadata=METADATA)
    assert [result.outcome for result in report.results] == ["refused", "recorded", "refused", "refused"]
    assert report.results[0].refusal is invalid
    assert report.position == report.results[1].position


async def test_the_log_holds_when_it_happened_and_nothing_personal_in_the_clear(desk: Desk) -> None:
    contact_id = await desk.create(email="secret@example.com")
    sent = replace(clicked("secret-id", email="secret@example.com"), source="secret-source")
    await desk.send(sent)
    (event,) = await desk.recorded(contact_id)
    assert event.metadata.occurred_at == sent.time == event.event.occurred_at
    assert event.recorded_at - sent.time > timedelta(hours=1)
    rows = await desk.store.pool.fetch(
        "SELECT t::text AS row FROM log.events AS t WHERE workspace_id = $1 "
        "UNION ALL SELECT i::text FROM log.idempotency AS i WHERE workspace_id = $1",
        desk.workspace.id,
    )
    text = " ".join(row["row"] for row in rows)
    for secret in ("secret", b"secret".hex(), b"secret@example.com".hex()):
        assert secret not in text


async def test_an_overloaded_log_is_told_and_the_repeat_completes_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    contact_id = await desk.create(external_id="c-1")
    append, appended = EventStore.append, 0

    async def full_after_five(self: EventStore, write: Any) -> Any:
        nonlocal appended
        appended += 1
        if appended > 5:
            raise Overloaded(20_000, retry_after_s=1)
        return await append(self, write)

    sent = [clicked(f"a-{n}", n, external_id="c-1") for n in range(10)]
    monkeypatch.setattr(EventStore, "append", full_after_five)
    with pytest.raises(Overloaded):
        await desk.send(*sent)
    monkeypatch.undo()
    assert (await desk.send(*sent)).counts == {"recorded": 5, "duplicate": 5}
    assert len(await desk.recorded(contact_id)) == 10


# -- merged -----------------------------------------------------------------------------------------------------------


async def test_while_merged_it_is_recorded_for_the_primary_with_the_address_it_came_by(desk: Desk) -> None:
    anna, ben = await desk.create(external_id="anna"), await desk.create(external_id="ben", email="ben@example.com")
    await desk.tell("before", 1, external_id="ben")
    merge_id = await desk.merge(anna, ben)
    for number, contact in enumerate(({"external_id": "ben"}, {"email": "ben@example.com"}, {"id": ben}), 2):
        assert (await desk.tell(f"during-{number}", number, **contact)).contact_id == anna
    during = await desk.recorded(anna)
    assert [event.event.addressed_as for event in during] == [
        AddressedAs(by="external_id", value="ben", contact_id=ben),
        AddressedAs(by="email", value="ben@example.com", contact_id=ben),
        AddressedAs(by="id", value=str(ben), contact_id=ben),
    ]
    assert await desk.ids(anna) == await desk.ids(ben) == ["during-4", "during-3", "during-2", "before"]

    await desk.unmerge(merge_id)

    assert (await desk.tell("after", 9, email="ben@example.com")).contact_id == ben
    assert await desk.ids(anna) == ["during-4", "during-3", "during-2"]
    assert await desk.ids(ben) == ["after", "before"]


async def test_nested_merges_come_apart_in_any_order_and_each_has_its_own(desk: Desk) -> None:
    contacts = [await desk.create(external_id=f"c-{n}") for n in range(4)]
    for n in range(4):
        await desk.tell(f"own-{n}", n, external_id=f"c-{n}")
    inner = await desk.merge(contacts[1], contacts[2])
    await desk.tell("inner", 10, external_id="c-2")
    outer = await desk.merge(contacts[0], contacts[1])
    last = await desk.merge(contacts[0], contacts[3])
    await desk.tell("outer", 11, external_id="c-2")
    assert await desk.ids(contacts[2]) == ["outer", "inner", "own-3", "own-2", "own-1", "own-0"]

    await desk.unmerge(outer, contacts[1], mode="single")
    assert await desk.ids(contacts[1]) == ["inner", "own-1"]
    assert await desk.ids(contacts[0]) == ["outer", "own-3", "own-2", "own-0"]
    await desk.unmerge(inner)
    await desk.unmerge(last)
    assert [await desk.ids(contact) for contact in contacts] == [
        ["outer", "own-0"], ["inner", "own-1"], ["own-2"], ["own-3"],
    ]  # fmt: skip


async def strays(desk: Desk, rounds: int) -> int:
    """Activities that stand in the stream of an absorbed contact behind its absorption, sent while it was merged."""
    found = 0
    for round_ in range(rounds):
        name = f"c-{round_}"
        primary, other = await desk.create(), await desk.create(external_id=name)
        workers = [desk.beside() for _ in range(2)]
        for part, worker in enumerate(workers):
            # From here on each has the contact in its cache as it is now.
            await worker.tell(f"{name}-{part}-warm", external_id=name)

        async def send(part: int, worker: Desk, name: str = name) -> None:
            for number in range(6):
                await worker.tell(f"{name}-{part}-{number}", external_id=name)

        await asyncio.gather(desk.merge(primary, other), *(send(*each) for each in enumerate(workers)))
        stream = await desk.store.read_stream(Stream(desk.workspace.id, "contact", other))
        absorbed = next(event.position for event in stream if event.type == "contact.absorbed")
        own = [event.position for event in await desk.recorded(other)]
        assert len(own) + len(await desk.recorded(primary)) == 14
        found += sum(position > absorbed for position in own)
    return found


async def test_what_is_sent_while_contacts_merge_is_recorded_for_whoever_stands_for_them_then(desk: Desk) -> None:
    assert await strays(desk, 8) == 0


async def test_activity_that_is_not_decided_on_a_version_would_be_noticed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted bug without which a green run says nothing."""
    write = ActivityHandler._write

    def without_version(self: ActivityHandler, *arguments: Any, **more: Any) -> Write:
        decided = write(self, *arguments, **more)
        return replace(decided, streams=decided.streams[:1])

    monkeypatch.setattr(ActivityHandler, "_write", without_version)
    assert await strays(desk, 3) > 0
