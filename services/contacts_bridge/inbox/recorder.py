"""What becomes of each message of a batch: recorded, repeated, dropped, or refused with a reason. No JetStream."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias
from uuid import UUID

import msgspec
from uuid_utils.compat import uuid7

from contacts.activity.data import fault_of
from contacts.activity.input import ActivityInput, record_activity
from contacts.contact.commands import EditContact, UpsertContact, UpsertKind
from contacts.contact.input import ContactInput, NewContactInput, edit_contact, upsert_contact
from contacts.errors import ContactIsErased, ContactUnknown, InvalidField, InvalidInput, Refusal, WorkspaceNotFound
from contacts_bridge.inbox.message import Inbound, Raw, read
from eventstore.envelope import Metadata
from servicekit.dead_letters import Fault, Reason

if TYPE_CHECKING:
    from contacts.activity.commands import RecordActivity
    from contacts.activity.handler import ActivityHandler
    from contacts.contact.handler import ContactHandler
    from contacts.workspace.directory import Workspaces
    from contacts.workspace.state import Workspace
    from eventstore.cipher import Keyring

#: `held` waits for a contact, `dead` is put aside with its reason; all others are done with.
Fate: TypeAlias = Literal["recorded", "duplicate", "dropped", "held", "dead"]

ACTOR: Final = "system:ingest"
SOURCE: Final = "event"
DIGEST_BYTES: Final = 16
#: Faults that a dead letter names.
ERRORS_MAX: Final = 20
_KEYS: Final[tuple[UpsertKind, ...]] = ("external_id", "messaging_id", "email", "phone")
_CAPITAL: Final = re.compile(r"(?<!^)(?=[A-Z])")
_encode: Final = msgspec.json.Encoder(order="deterministic").encode


class Outcome(msgspec.Struct, frozen=True):
    """What became of one message."""

    fate: Fate
    reason: Reason | None = None


DEAD_OF_WORKSPACE: Final = Outcome("dead", Reason("workspace-not-found", "there is no such workspace"))


def reason_of(refusal: Refusal) -> Reason:
    """As a dead letter says it."""
    code = _CAPITAL.sub("-", type(refusal).__name__).lower()
    if not isinstance(refusal, InvalidInput):
        return Reason(code, str(refusal))
    errors = tuple(Fault(e.pointer, e.reason, e.expected) for e in refusal.errors[:ERRORS_MAX])
    return Reason(code, "; ".join(f"{fault.pointer or 'the message'} {fault.reason}" for fault in errors), errors)


class Recorder:
    """Safe to use concurrently."""

    def __init__(
        self, workspaces: Workspaces, activity: ActivityHandler, contacts: ContactHandler, keyring: Keyring
    ) -> None:
        self._workspaces = workspaces
        self._activity = activity
        self._contacts = contacts
        self._keyring = keyring

    async def record(self, batch: Sequence[Raw]) -> list[Outcome]:
        """Durable when it returns, each once, however often it is given.

        Raises:
            StoreUnavailable, Overloaded, PositionTimeout: some may be recorded; give all again.
        """
        outcomes: dict[int, Outcome] = {}
        by_workspace: dict[UUID, list[tuple[int, ActivityInput]]] = {}
        for n, raw in enumerate(batch):
            try:
                inbound: Inbound = read(raw)
            except InvalidInput as invalid:
                outcomes[n] = Outcome("dead", reason_of(invalid))
            else:
                by_workspace.setdefault(inbound.workspace_id, []).append((n, inbound.sent))
        for workspace_id, sent in by_workspace.items():
            try:
                workspace = await self._workspaces.get(workspace_id)
            except WorkspaceNotFound:
                outcomes.update(dict.fromkeys((n for n, _ in sent), DEAD_OF_WORKSPACE))
            else:
                outcomes.update(await self._of_workspace(workspace, sent))
        return [outcomes[n] for n in range(len(batch))]

    async def _of_workspace(
        self, workspace: Workspace, sent: Sequence[tuple[int, ActivityInput]]
    ) -> dict[int, Outcome]:
        # Upserts first: who comes with a batch may already do something in it.
        upserts = [(n, each) for n, each in sent if each.type == "contact.upsert"]
        done = await asyncio.gather(*(self._upsert(workspace, each) for _, each in upserts), return_exceptions=True)
        for each in done:
            if isinstance(each, BaseException):
                raise each
        outcomes = {n: each for (n, _), each in zip(upserts, done, strict=True) if isinstance(each, Outcome)}
        activities = [(n, each) for n, each in sent if n not in outcomes]
        if activities:
            outcomes |= await self._activities(workspace, activities)
        return outcomes

    async def _activities(self, workspace: Workspace, sent: Sequence[tuple[int, ActivityInput]]) -> dict[int, Outcome]:
        now = datetime.now(UTC)
        commands = [_command(each, workspace, now) for _, each in sent]
        metadata = Metadata(actor=ACTOR, source=SOURCE)
        report = await self._activity.record(workspace.id, commands, metadata=metadata, workspace=workspace)
        holds = workspace.settings.unknown_contacts == "hold"
        return {
            n: Outcome(result.outcome) if result.outcome != "refused" else _refused(result.refusal, holds=holds)
            for (n, _), result in zip(sent, report.results, strict=True)
        }

    async def _upsert(self, workspace: Workspace, sent: ActivityInput) -> Outcome:
        try:
            command = _upsert_command(sent, workspace)
            outcome = await self._contacts.execute(
                command,
                metadata=Metadata(actor=ACTOR, source=SOURCE, occurred_at=sent.time),
                idempotency_key=self._key(sent),
                request_hash=blake2b(_encode(sent), digest_size=DIGEST_BYTES).digest(),
            )
        except Refusal as refusal:
            return _refused(refusal, holds=False)
        return Outcome("duplicate" if outcome.replayed else "recorded")

    def _key(self, sent: ActivityInput) -> str:
        """A digest: there may be an address in an id, and a key is kept for ever."""
        return "inbox:" + self._keyring.hmac("inbox", f"{len(sent.source)}:{sent.source}:{sent.id}").hex()


def _command(sent: ActivityInput, workspace: Workspace, now: datetime) -> RecordActivity | Refusal:
    try:
        return record_activity(sent, workspace, now=now)
    except InvalidInput as invalid:
        return invalid


def _refused(refusal: Refusal | None, *, holds: bool) -> Outcome:
    assert refusal is not None, "what is refused has a reason"
    if isinstance(refusal, ContactIsErased):
        # Nothing of them is kept, and no letter either; an objection is in the ledger by now.
        return Outcome("dropped")
    return Outcome("held" if holds and isinstance(refusal, ContactUnknown) else "dead", reason_of(refusal))


def _upsert_command(sent: ActivityInput, workspace: Workspace) -> UpsertContact | EditContact:
    """The first thing the reference says is what the contact is known by. Raises InvalidInput."""
    reference = sent.contact
    if reference.id is not None:
        return edit_contact(_converted(sent.data, ContactInput), workspace, contact_id=reference.id)
    by = next((name for name in _KEYS if getattr(reference, name) is not None), None)
    if by is None:
        raise InvalidInput([InvalidField("/contact", "says nothing to know the contact by", "id, " + ", ".join(_KEYS))])
    new = _converted(sent.data, NewContactInput)
    return upsert_contact(by, getattr(reference, by), new, workspace, contact_id=uuid7(), source=SOURCE)


def _converted(data: dict[str, Any], type_: Any) -> Any:
    try:
        return msgspec.convert(data, type_)
    except msgspec.ValidationError as error:
        raise InvalidInput([fault_of(str(error), "/data")]) from None
