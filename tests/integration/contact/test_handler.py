"""Contact commands on a real log: claims, versions, retries, and answers that stay the same."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from uuid_utils.compat import uuid7

from contacts import errors
from contacts.contact import commands as c
from contacts.contact import input as contact_input
from contacts.contact.changes import difference
from contacts.contact.handler import ContactHandler, Outcome
from contacts.contact.history import as_of
from contacts.contact.input import NewContactInput
from contacts.workspace.state import Workspace
from eventstore.envelope import Metadata, Stream
from eventstore.store import EventStore

METADATA = Metadata(actor="key:test", source="api", correlation_id="request-1")


class Desk:
    """A workspace in which commands are given by hand."""

    def __init__(self, store: EventStore, workspace_id: UUID, find: Any = None) -> None:
        self.store = store
        self.workspace = Workspace(id=workspace_id, version=1)
        self.handler = ContactHandler(store, find=find)

    async def do(self, command: Any, key: str | None = None, digest: bytes = b"", **options: Any) -> Outcome:
        return await self.handler.execute(
            command, metadata=METADATA, idempotency_key=key, request_hash=digest, **options
        )

    async def create(self, key: str | None = None, digest: bytes = b"", **fields: Any) -> Outcome:
        return await self.do(self.creation(**fields), key, digest)

    def creation(self, **fields: Any) -> c.CreateContact:
        return contact_input.create_contact(NewContactInput(**fields), self.workspace, contact_id=uuid7())

    def edit(self, contact_id: UUID, **details: Any) -> c.EditContact:
        return c.EditContact(workspace_id=self.workspace.id, contact_id=contact_id, details=c.Details(**details))

    def upsert(self, by: c.UpsertKind, value: str, **fields: Any) -> c.UpsertContact:
        body = NewContactInput(**fields)
        return contact_input.upsert_contact(by, value, body, self.workspace, contact_id=uuid7())

    def of(self, command: type, contact_id: UUID, **fields: Any) -> Any:
        return command(workspace_id=self.workspace.id, contact_id=contact_id, **fields)

    async def versions(self, contact_id: UUID) -> list[str]:
        return [e.type for e in await self.store.read_stream(Stream(self.workspace.id, "contact", contact_id))]


@pytest.fixture
def desk(store: EventStore, workspace_id: UUID) -> Desk:
    return Desk(store, workspace_id)


async def test_a_created_contact_can_be_loaded_from_the_log(desk: Desk) -> None:
    made = await desk.create(first_name="Ann", email="ann@example.com", attributes={})
    assert (made.created, made.replayed, made.version) == (True, False, 1)
    fresh = ContactHandler(desk.store)
    assert await fresh.load(desk.workspace.id, made.contact_id) == made.contact
    assert made.contact.created_at == made.appended.recorded_at


async def test_metadata_is_recorded_and_the_payload_is_not_readable_in_the_table(desk: Desk) -> None:
    made = await desk.create(first_name="Annabella", email="annabella@example.com")
    [recorded] = await desk.store.read_stream(Stream(desk.workspace.id, "contact", made.contact_id))
    assert recorded.metadata == METADATA
    payload = await desk.store.pool.fetchval("SELECT payload FROM log.events WHERE event_id = $1", recorded.event_id)
    assert b"nnabella" not in payload


async def test_saving_what_is_already_so_appends_nothing(desk: Desk) -> None:
    made = await desk.create(first_name="Ann", email="ann@example.com")
    again = await desk.do(desk.edit(made.contact_id, first_name="Ann"))
    assert (again.version, again.appended.event_count, again.contact) == (1, 0, made.contact)
    assert again.appended.last_position >= made.appended.last_position


# -- versions ---------------------------------------------------------------------------------------------------------


async def test_an_edit_of_another_version_is_refused(desk: Desk) -> None:
    made = await desk.create(email="ann@example.com")
    await desk.do(desk.edit(made.contact_id, first_name="Ann"), expected_version=1)
    with pytest.raises(errors.VersionMismatch) as refused:
        await desk.do(desk.edit(made.contact_id, first_name="Eve"), expected_version=1)
    assert (refused.value.expected, refused.value.actual) == (1, 2)


async def test_a_state_that_fell_behind_another_process_is_found_out(desk: Desk) -> None:
    made = await desk.create(email="ann@example.com", first_name="Ann")
    other = Desk(desk.store, desk.workspace.id)
    await other.do(other.edit(made.contact_id, first_name="Anna"))
    # In this process Ann is still called Ann, so each of these would be decided wrongly on the cached state.
    assert (await desk.do(desk.edit(made.contact_id, first_name="Ann"))).version == 3
    await other.do(other.of(c.DeleteContact, made.contact_id, reason="x"))
    with pytest.raises(errors.ContactIsDeleted):
        await desk.do(desk.edit(made.contact_id, first_name="Ann"))
    await other.do(other.of(c.RestoreContact, made.contact_id))
    assert (await desk.do(desk.edit(made.contact_id, first_name="Anne"))).contact.first_name == "Anne"
    with pytest.raises(errors.VersionMismatch):
        await other.do(other.edit(made.contact_id, first_name="Eve"), expected_version=4)


async def test_concurrent_edits_all_take_effect(desk: Desk) -> None:
    made = await desk.create(email="ann@example.com")
    desks = [Desk(desk.store, desk.workspace.id) for _ in range(4)]
    tags = [f"tag-{n:02}" for n in range(16)]
    orders = [desks[n % 4].do(desk.of(c.TagContact, made.contact_id, tags=(tag,))) for n, tag in enumerate(tags)]
    await asyncio.gather(*orders)
    present = await desk.handler.load(desk.workspace.id, made.contact_id)
    assert (list(present.tags), present.version) == (tags, 17)


# -- claims -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["external_id", "messaging_id"])
async def test_a_unique_id_has_one_holder_in_a_workspace(desk: Desk, kind: str) -> None:
    first = await desk.create(email="ann@example.com", **{kind: "x-1"})
    with pytest.raises(errors.ClaimTakenRefusal) as refused:
        await desk.create(email="eve@example.com", **{kind: "x-1"})
    assert (refused.value.kind, refused.value.holder) == (kind, first.contact_id)
    elsewhere = Desk(desk.store, uuid4())
    await elsewhere.create(email="eve@example.com", **{kind: "x-1"})


async def test_a_unique_id_moves_with_an_edit_and_frees_the_old_one(desk: Desk) -> None:
    first = await desk.create(email="a@example.com", external_id="x-1")
    await desk.do(desk.edit(first.contact_id, external_id="x-2"))
    second = await desk.create(email="b@example.com", external_id="x-1")
    with pytest.raises(errors.ClaimTakenRefusal):
        await desk.do(desk.edit(second.contact_id, external_id="x-2"))
    await desk.do(desk.edit(first.contact_id, external_id=None))
    await desk.do(desk.edit(second.contact_id, external_id="x-2"))


async def test_deleting_frees_ids_and_restoring_takes_them_back(desk: Desk) -> None:
    first = await desk.create(email="a@example.com", external_id="x-1", messaging_id="m-1")
    await desk.do(desk.of(c.DeleteContact, first.contact_id, reason="asked"))
    second = await desk.create(email="b@example.com", external_id="x-1")
    with pytest.raises(errors.ClaimTakenRefusal) as refused:
        await desk.do(desk.of(c.RestoreContact, first.contact_id))
    assert refused.value.holder == second.contact_id
    await desk.do(desk.of(c.DeleteContact, second.contact_id, reason="gone"))
    restored = await desk.do(desk.of(c.RestoreContact, first.contact_id))
    assert (restored.contact.external_id, restored.contact.deleted) == ("x-1", False)
    with pytest.raises(errors.ClaimTakenRefusal):
        await desk.create(email="c@example.com", messaging_id="m-1")


# -- idempotency ------------------------------------------------------------------------------------------------------


def answer(outcome: Outcome) -> bytes:
    """Everything an answer over the wire is made from."""
    parts = (outcome.contact, outcome.version, outcome.appended, outcome.created)
    return msgspec.msgpack.encode(parts)


async def test_a_repeated_creation_answers_the_first_one_for_ever(desk: Desk) -> None:
    first = await desk.create("k-1", b"r", email="ann@example.com", external_id="x-1")
    await desk.do(desk.edit(first.contact_id, first_name="Later"))
    again = await Desk(desk.store, desk.workspace.id).create("k-1", b"r", email="ann@example.com", external_id="x-1")
    assert answer(again) == answer(first)
    assert (again.replayed, first.replayed) == (True, False)
    assert await desk.versions(first.contact_id) == ["contact.created", "contact.details_changed"]


async def test_a_key_of_another_request_is_refused(desk: Desk) -> None:
    await desk.create("k-1", b"one", email="ann@example.com")
    with pytest.raises(errors.IdempotencyKeyReused):
        await desk.create("k-1", b"two", email="eve@example.com")


async def test_parallel_repeats_have_one_effect_and_one_answer(desk: Desk) -> None:
    desks = [Desk(desk.store, desk.workspace.id) for _ in range(8)]
    outcomes = await asyncio.gather(*(one.create("k-1", b"r", email="ann@example.com") for one in desks))
    assert len({answer(outcome) for outcome in outcomes}) == 1
    assert sorted(outcome.replayed for outcome in outcomes) == [False] + [True] * 7


async def test_a_repeat_of_a_success_is_answered_even_where_it_would_now_be_refused(desk: Desk) -> None:
    made = await desk.create(email="ann@example.com")
    edit = desk.edit(made.contact_id, first_name="Ann")
    first = await desk.do(edit, "k-1", b"r", expected_version=1)
    again = await desk.do(edit, "k-1", b"r", expected_version=1)
    assert answer(again) == answer(first)
    await desk.do(desk.of(c.DeleteContact, made.contact_id, reason="asked"))
    assert answer(await desk.do(edit, "k-1", b"r", expected_version=1)) == answer(first)


async def test_a_command_without_effect_keeps_its_answer_too(desk: Desk) -> None:
    made = await desk.create(email="ann@example.com", first_name="Ann")
    edit = desk.edit(made.contact_id, first_name="Ann")
    first = await desk.do(edit, "k-1", b"r")
    assert first.appended.event_count == 0
    await desk.do(desk.edit(made.contact_id, first_name="Anna"))
    again = await desk.do(edit, "k-1", b"r")
    assert answer(again) == answer(first)
    assert again.contact.first_name == "Ann"
    with pytest.raises(errors.IdempotencyKeyReused):
        await desk.do(edit, "k-1", b"other")


async def test_a_refused_command_leaves_its_key_unused(desk: Desk) -> None:
    made = await desk.create(email="ann@example.com", external_id="x-1")
    with pytest.raises(errors.ClaimTakenRefusal):
        await desk.create("k-1", b"r", email="eve@example.com", external_id="x-1")
    await desk.do(desk.of(c.DeleteContact, made.contact_id, reason="asked"))
    assert (await desk.create("k-1", b"r", email="eve@example.com", external_id="x-1")).created


# -- upsert -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["external_id", "messaging_id"])
async def test_an_upsert_by_a_unique_id_creates_once_and_edits_after(desk: Desk, by: c.UpsertKind) -> None:
    made = await desk.do(desk.upsert(by, "x-1", email="ann@example.com", channels=[]))
    assert made.created
    edited = await desk.do(desk.upsert(by, "x-1", first_name="Ann"))
    assert (edited.created, edited.contact_id, edited.contact.first_name) == (False, made.contact_id, "Ann")
    assert edited.contact.email == "ann@example.com"


@pytest.mark.parametrize(
    ("by", "value"), [("external_id", "x-1"), ("email", "ann@example.com"), ("phone", "+4930901820")]
)
async def test_parallel_upserts_make_one_contact(desk: Desk, by: c.UpsertKind, value: str) -> None:
    desks = [Desk(desk.store, desk.workspace.id) for _ in range(4)]
    orders = [
        desks[n % 4].do(desks[n % 4].upsert(by, value, tags=[f"t{n}"], email="ann@example.com")) for n in range(8)
    ]
    outcomes = await asyncio.gather(*orders)
    assert len({outcome.contact_id for outcome in outcomes}) == 1
    assert sum(outcome.created for outcome in outcomes) == 1
    assert max(outcome.version for outcome in outcomes) > 1


async def test_an_upsert_after_deletion_creates_anew(desk: Desk) -> None:
    for by, value in (("external_id", "x-1"), ("email", "bob@example.com")):
        made = await desk.do(desk.upsert(by, value, email="bob@example.com"))  # type: ignore[arg-type]
        await desk.do(desk.of(c.DeleteContact, made.contact_id, reason="asked"))
        again = await desk.do(desk.upsert(by, value, email="bob@example.com"))  # type: ignore[arg-type]
        assert again.created
        assert again.contact_id != made.contact_id


class Finder:
    """Stands for the read model: answers what it was told, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: list[UUID | None] = []
        self.asked: list[tuple[str, str, int]] = []

    async def __call__(self, _workspace_id: UUID, by: str, key: str, *, lane: int, position: int) -> UUID | None:
        assert lane == 0
        self.asked.append((by, key, position))
        return self.answers.pop(0)


async def test_an_upsert_by_email_finds_contacts_that_were_created_otherwise(
    store: EventStore, workspace_id: UUID
) -> None:
    find = Finder()
    desk = Desk(store, workspace_id, find)
    moved = await desk.create(email="ann@example.com")
    await desk.do(desk.edit(moved.contact_id, email="moved@example.com"))
    made = await desk.create(email="Ann@Example.com")
    # What a read model shows may have moved on since: then it is asked again.
    find.answers = [moved.contact_id, made.contact_id]
    edited = await desk.do(desk.upsert("email", "ann@EXAMPLE.com", first_name="Ann"))
    assert (edited.contact_id, edited.contact.email) == (made.contact_id, "Ann@Example.com")
    assert {(by, key) for by, key, _position in find.asked} == {("email", "ann@example.com")}
    assert all(position >= made.appended.last_position for _by, _key, position in find.asked)
    find.answers = [None]
    assert (await desk.do(desk.upsert("email", "nobody@example.com"))).created


async def test_an_upsert_by_email_does_not_follow_an_address_that_moved_on(desk: Desk) -> None:
    made = await desk.do(desk.upsert("email", "old@example.com"))
    await desk.do(desk.edit(made.contact_id, email="new@example.com"))
    assert (await desk.do(desk.upsert("email", "old@example.com"))).created


async def test_a_repeated_upsert_answers_the_first_one(desk: Desk) -> None:
    upsert = desk.upsert("external_id", "x-1", first_name="Ann")
    first = await desk.do(upsert, "k-1", b"r")
    again = await desk.do(desk.upsert("external_id", "x-1", first_name="Ann"), "k-1", b"r")
    assert answer(again) == answer(first)
    assert again.created


async def test_an_upsert_that_expects_a_version_never_creates(desk: Desk) -> None:
    with pytest.raises(errors.VersionMismatch):
        await desk.do(desk.upsert("external_id", "x-1"), expected_version=1)


# -- history ----------------------------------------------------------------------------------------------------------


async def test_any_past_state_can_be_read(desk: Desk) -> None:
    made = await desk.create(first_name="Ann", email="ann@example.com")
    contact_id = made.contact_id
    renamed = await desk.do(desk.edit(contact_id, first_name="Anna", attributes={"plan": "gold"}))
    deleted = await desk.do(desk.of(c.DeleteContact, contact_id, reason="asked"))
    then = {
        "version": await as_of(desk.store, desk.workspace.id, contact_id, version=2),
        "position": await as_of(desk.store, desk.workspace.id, contact_id, position=renamed.appended.last_position),
        "time": await as_of(desk.store, desk.workspace.id, contact_id, time=renamed.appended.recorded_at),
    }
    assert all(state == renamed.contact for state in then.values())
    assert await as_of(desk.store, desk.workspace.id, contact_id) == deleted.contact
    assert {change.field for change in difference(renamed.contact, deleted.contact)} == {
        "deleted_at",
        "deletion_reason",
    }


async def test_nobody_has_a_past_before_being_created_or_in_another_workspace(desk: Desk) -> None:
    made = await desk.create(email="ann@example.com")
    before = made.appended.last_position - 1
    with pytest.raises(errors.ContactNotFound):
        await as_of(desk.store, desk.workspace.id, made.contact_id, position=before)
    with pytest.raises(errors.ContactNotFound):
        await as_of(desk.store, uuid4(), made.contact_id)
    with pytest.raises(errors.ContactNotFound):
        await Desk(desk.store, uuid4()).do(desk.of(c.BlockContact, uuid7()))
