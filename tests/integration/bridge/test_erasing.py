"""Letters that name somebody who was erased are taken away for good, and so are those that are too old."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from uuid_utils.compat import uuid7

from contacts.addresses import AddressKeys
from contacts.contact import commands as c
from contacts.erasure.commands import EraseContact
from contacts.erasure.handler import ErasureHandler
from contacts.erasure.marks import Marks
from contacts.facts import Facts
from contacts_bridge.broker import Broker
from contacts_bridge.definitions import HELD, events_stream
from contacts_bridge.inbox.erasing import Erasing
from contacts_bridge.inbox.letters import put_aside
from contacts_bridge.inbox.message import Raw
from contacts_bridge.inbox.named import Letters
from contacts_bridge.metrics import Figures
from contacts_bridge.relay import Relay
from eventstore.envelope import Metadata
from eventstore.signals import LogSignals
from rollbook.embedded.nats import Nats
from servicekit.dead_letters import PREFIX, Reason
from servicekit.dead_letters import STREAM as DEAD
from tests.integration.bridge.inbox_rig import InboxRig, open_rig, plain
from tests.integration.eventstore.tally import running
from tests.support.waiting import until

MARK = b"zqlettersperson"
EMAIL = f"{MARK.decode()}.a@example.com"


@pytest.fixture
async def nats(private_nats: Callable[..., Nats]) -> Nats:
    return await asyncio.to_thread(private_nats)


@pytest.fixture
async def inbox(database: str, nats: Nats) -> AsyncIterator[InboxRig]:
    async with open_rig(database, nats.url) as rig:
        await rig.begin(unknown_contacts="hold")
        await rig.start(match_first_s=600.0)
        yield rig


async def erase(inbox: InboxRig, contact_id: UUID) -> None:
    keys, store = AddressKeys(inbox.store.keyring.hmac), inbox.store
    handler = ErasureHandler(store, inbox.contacts.components, Facts(store), keys)
    command = EraseContact(
        workspace_id=inbox.workspace_id, contact_id=contact_id, erasure_id=uuid7(), reason="person_asked"
    )
    await handler.execute(command, metadata=Metadata())


@asynccontextmanager
async def erasing(inbox: InboxRig, nats: Nats) -> AsyncIterator[None]:
    """With a relay, because erasures are heard of by its stream; with no more rights than the bridge has."""
    signals = LogSignals(inbox.store.connect)
    relay = Relay(
        inbox.store, nats_url=inbox.nats_url, definition=events_stream(max_bytes=128 << 20),
        signals={0: signals.of_lane(0)}, watcher=Figures(),
    )  # fmt: skip
    async with running(signals, relay, Erasing(inbox.store, nats_url=nats.url_of("bridge"))):
        yield


async def kept(inbox: InboxRig, stream: str) -> list[str]:
    """Ids of the messages that lie there, or what they are where they have none."""
    found: list[str] = []
    async with inbox.client() as client:
        js = client.jetstream()
        state = (await js.stream_info(stream)).state
        for sequence in range(state.first_seq, state.last_seq + 1):
            answer: dict[str, Any] = msgspec.json.decode(
                (await client.request(f"$JS.API.STREAM.MSG.GET.{stream}", b'{"seq": %d}' % sequence)).data
            )
            if "message" in answer:
                data = msgspec.json.decode(b'"%b"' % answer["message"]["data"].encode(), type=bytes)
                found.append(data.partition(b'"id":"')[2].partition(b'"')[0].decode() or repr(data))
    return sorted(found)


def traces(nats: Nats) -> dict[str, int]:
    found = {path.name: path.read_bytes().count(MARK) for path in Path(nats.folder).rglob("*") if path.is_file()}
    return {name: count for name, count in found.items() if count}


async def test_letters_that_name_an_erased_person_are_gone_to_the_last_byte(inbox: InboxRig, nats: Nats) -> None:
    # What they do before anybody knows them is held, and what is wrong with a message or an id makes it dead.
    await inbox.send(
        plain("held", contact={"email": EMAIL.upper()}),
        plain("stays held", contact={"email": "somebody@example.com"}),
        plain("dead", contact={"external_id": MARK.decode()}, data={"wrong": EMAIL}),
        plain("stays dead", data={"wrong": 1}),
        ("message.clicked", b'{"junk of ' + MARK + b"'s: +48 22 987-65-43", None),
        ("message.clicked", b"{junk", None),
    )
    await inbox.empty()
    before = await inbox.create(email=EMAIL, external_id=MARK.decode(), phone="+48111111111")
    # What it was known by once counts as well.
    edit = c.EditContact(workspace_id=inbox.workspace_id, contact_id=before, details=c.Details(phone="+48229876543"))
    await inbox.contacts.execute(edit, metadata=Metadata())
    edit = c.EditContact(workspace_id=inbox.workspace_id, contact_id=before, details=c.Details(phone=None, email=None))
    await inbox.contacts.execute(edit, metadata=Metadata())
    assert len(await kept(inbox, HELD)) == 2
    assert len(await kept(inbox, DEAD)) == 4
    await erase(inbox, before)
    async with erasing(inbox, nats):

        async def gone() -> bool:
            return await kept(inbox, HELD) == ["stays held"] and len(await kept(inbox, DEAD)) == 2

        await until(gone, timeout_s=30, what="its letters are gone")
    assert await kept(inbox, DEAD) == ["b'{junk'", "stays dead"]
    await inbox.stop()
    await asyncio.to_thread(nats.stop)
    assert traces(nats) == {}


async def test_what_comes_for_an_erased_contact_is_not_kept(inbox: InboxRig) -> None:
    contact = await inbox.create(email=EMAIL)
    await erase(inbox, contact)
    await inbox.send(plain("late", contact={"id": str(contact)}))
    await inbox.empty()
    assert inbox.figures.counts == {"dropped": 1}
    assert await inbox.letters() == []


async def test_letters_of_other_workspaces_and_later_ones_stay(inbox: InboxRig, nats: Nats) -> None:
    await inbox.send(plain("1", contact={"email": EMAIL}))
    await inbox.empty()
    marks = Marks(inbox.store.keyring.hmac)
    wanted = frozenset(marks.of_message(EMAIL.encode(), {}, None))
    broker = await Broker.connect(nats.url, name="test")
    try:

        async def nowhere(_: UUID) -> None:
            return None

        letters = Letters(HELD, marks, nowhere)
        await letters.read_on(broker)
        now = datetime.now(UTC)
        began = datetime(2026, 1, 1, tzinfo=UTC)
        assert list(letters.naming(uuid4(), wanted, before=now)) == []
        assert list(letters.naming(inbox.workspace_id, wanted, before=began)) == []
        assert list(letters.naming(inbox.workspace_id, wanted, before=now)) == [1]
    finally:
        await broker.close()


async def test_letters_that_are_too_old_are_gone_to_the_last_byte(inbox: InboxRig, nats: Nats) -> None:
    await inbox.send(*(plain(f"{MARK.decode()} {n}", contact={"email": f"{n}@example.com"}) for n in range(3)))
    await inbox.empty()
    broker = await Broker.connect(nats.url, name="test")
    try:
        third: dict[str, Any] = await broker.api(f"STREAM.MSG.GET.{HELD}", {"seq": 3})
        moment = msgspec.convert(third["message"]["time"], datetime)

        async def nowhere(_: UUID) -> None:
            return None

        letters = Letters(HELD, Marks(inbox.store.keyring.hmac), nowhere)
        assert await letters.delete_older_than(broker, moment) == 2
    finally:
        await broker.close()
    assert await kept(inbox, HELD) == [f"{MARK.decode()} 2"]


async def test_a_letter_that_found_its_contact_leaves_no_byte(database: str, nats: Nats) -> None:
    async with open_rig(database, nats.url) as inbox:
        await inbox.begin(unknown_contacts="hold")
        await inbox.start()
        await inbox.send(plain(MARK.decode(), contact={"email": EMAIL}), plain("waits"))
        await inbox.empty()
        await inbox.create(email=EMAIL)

        async def found() -> bool:
            return await inbox.pending(HELD) == 1

        await until(found, timeout_s=30, what="it found its contact")
        assert await inbox.recorded() == {MARK.decode(): 1}
    await asyncio.to_thread(nats.stop)
    assert traces(nats) == {}


async def test_a_message_that_is_put_aside_again_after_a_crash_changes_nothing(inbox: InboxRig, nats: Nats) -> None:
    raw = Raw(inbox.subject("message.clicked").encode(), b"$JS.ACK.ROLLBOOK_INBOX.c.1.7.7.0.0", b"", b"{junk")
    broker = await Broker.connect(nats.url, name="test")
    try:
        for _ in range(2):
            await put_aside(broker, PREFIX, raw, Reason("invalid-input", "it is junk"))
    finally:
        await broker.close()
    (letter,) = await inbox.letters()
    assert letter.sequence == 1
