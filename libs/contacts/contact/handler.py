"""Contact commands on the log: which stream and claims, and who is meant by an upsert. Rules are in the decider."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, Protocol
from uuid import UUID

import msgspec
from msgspec.structs import replace

from contacts import errors
from contacts.contact.claims import UNIQUE_KINDS, UPSERT_CLAIMS, moved_between, moved_claims
from contacts.contact.commands import ContactCommand, CreateContact, UpsertContact, UpsertKind
from contacts.contact.decider import decide, evolve, fold, initial
from contacts.contact.events import ContactEvent
from contacts.contact.input import upsert_key
from contacts.contact.state import CATEGORY, Contact
from contacts.execution import ATTEMPTS_MAX, NOTHING, Beside, Executed, Execution, Request
from contacts.merge.component import Components
from contacts.merge.view import view
from eventstore.aggregate import Aggregates, SnapshotCodec
from eventstore.envelope import Appended, Claim, Metadata, RecordedEvent, Stream
from eventstore.store import EventStore

#: Raise it whenever `Contact` or its fold changes: snapshots of another schema are not read.
SNAPSHOT_SCHEMA: Final = 4


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a command led to. A replay of the same request answers an equal one, but for `replayed`."""

    contact_id: UUID
    #: Right after the command.
    contact: Contact
    version: int
    appended: Appended
    created: bool
    #: The idempotency key had its effect earlier.
    replayed: bool


class FindContact(Protocol):
    """The oldest present contact with an address, in a read model that has reached `position` of `lane`."""

    async def __call__(
        self, workspace_id: UUID, by: UpsertKind, key: str, *, lane: int, position: int
    ) -> UUID | None: ...


class ContactHandler:
    """One per process; safe to use concurrently."""

    def __init__(
        self, store: EventStore, *, find: FindContact | None = None,
        beside: Beside[ContactCommand, Contact] | None = None, cache_size: int = 100_000,
    ) -> None:  # fmt: skip
        """Without `find`, an upsert by e-mail or phone knows only contacts that such an upsert created.

        `beside` says what a change of a contact causes elsewhere: `consent.double_opt_in.DoubleOptIn`.
        """
        self._store = store
        self._find = find
        aggregates = Aggregates(
            store, category=CATEGORY, initial=initial, evolve=fold, snapshots=SNAPSHOTS, cache_size=cache_size
        )
        #: Who stands for whom; for the handlers of other slices as well.
        self.components = Components(store, aggregates)
        self._execution = Execution(store, ContactRules(), aggregates, self.components, beside)

    async def execute(
        self,
        command: ContactCommand | UpsertContact,
        *,
        metadata: Metadata,
        idempotency_key: str | None = None,
        request_hash: bytes = b"",
        expected_version: int | None = None,
    ) -> Outcome:
        """Durable when it returns. A repeat with the same key and hash answers what the first time did, for ever.

        Raises:
            Refusal: as the command names, VersionMismatch, TooContended, IdempotencyKeyReused.
            StoreUnavailable, Overloaded: repeat with the same key.
        """
        request = Request(
            metadata=metadata,
            idempotency_key=idempotency_key,
            digest=request_hash,
            expected_version=expected_version,
        )
        if isinstance(command, UpsertContact):
            return _outcome(await self._upsert(command, request))
        new = isinstance(command, CreateContact)
        return _outcome(await self._execution.execute(command, _stream(command), request, new=new))

    async def load(self, workspace_id: UUID, contact_id: UUID) -> Contact:
        """The present profile, straight from the log; version 0 where there is no such contact.

        Of an absorbed contact it is the profile of the one that stands for it.
        """
        met = await self.components.meet(Stream(workspace_id, CATEGORY, contact_id), fresh=True)
        return view(met.state, met.others)

    async def _upsert(self, command: UpsertContact, request: Request) -> Executed[Contact]:
        for _attempt in range(ATTEMPTS_MAX):
            known = await self._known(command)
            try:
                if known is None:
                    return await self._create(command, request)
                edit = replace(command.edit, contact_id=known, found_by=command.by)
                return await self._execution.execute(edit, _stream(edit), request)
            except errors.ClaimTakenRefusal as taken:
                # Somebody else created the contact meanwhile: then it is an edit.
                if known is not None or taken.kind not in (command.by, UPSERT_CLAIMS.get(command.by)):
                    raise
            except (errors.ContactIsDeleted, errors.ContactIsErased, errors.ContactNotFound):
                # Somebody else deleted it meanwhile: then it is a creation.
                pass
        raise errors.TooContended(ATTEMPTS_MAX)

    async def _create(self, command: UpsertContact, request: Request) -> Executed[Contact]:
        if request.expected_version is not None:
            raise errors.VersionMismatch(request.expected_version, 0)
        claims: tuple[Claim, ...] = ()
        if (kind := UPSERT_CLAIMS.get(command.by)) is not None:
            value = upsert_key(command.by, command.value)
            claims = (Claim(kind=kind, value=value, holder=command.contact_id),)
        return await self._execution.execute(command.create, _stream(command), request, new=True, claims=claims)

    async def _known(self, command: UpsertContact) -> UUID | None:
        """The contact an upsert means, or None if it has to be created."""
        workspace_id, by = command.workspace_id, command.by
        key = upsert_key(by, command.value)
        holder = await self._store.find_claim(workspace_id, UPSERT_CLAIMS.get(by, by), key)
        if holder is not None or self._find is None or by in UNIQUE_KINDS:
            return holder
        lane = self._store.lane_of(workspace_id)
        for _attempt in range(ATTEMPTS_MAX):
            position = await self._store.head(lane)
            found = await self._find(workspace_id, by, key, lane=lane, position=position)
            if found is None:
                return None
            met = await self.components.meet(Stream(workspace_id, CATEGORY, found), fresh=True)
            addresses = [getattr(contact, by) for contact in (met.state, *met.others.values())]
            # The log has the last word: what was found may have moved on since, then it is asked again.
            if not met.state.deleted and any(a is not None and upsert_key(by, a) == key for a in addresses):
                return found
        raise errors.TooContended(ATTEMPTS_MAX)


class ContactRules:
    """The decider as `Execution` wants it, with the unique values a contact claims."""

    category: str = CATEGORY

    def initial(self, id_: UUID) -> Contact:
        return initial(id_)

    def decide(self, command: ContactCommand, state: Contact) -> list[ContactEvent]:
        return decide(command, state)

    def fold(self, state: Contact, recorded: RecordedEvent[Any]) -> Contact:
        return fold(state, recorded)

    def evolve(self, state: Contact, event: ContactEvent, at: datetime) -> Contact:
        return evolve(state, event, at)

    def show(self, state: Contact, others: Mapping[UUID, Contact]) -> Contact:
        """Raises ContactIsErased where something of it is gone: no answer of before can be given again."""
        for contact in (state, *others.values()):
            if contact.erased:
                raise errors.ContactIsErased(contact.id)
        return view(state, others) if others else state

    def claims(self, before: Contact, after: Contact, others: Mapping[UUID, Contact] = NOTHING) -> Iterable[Claim]:
        if not before.exists:
            return [Claim(kind=kind, value=v, holder=after.id) for kind in UNIQUE_KINDS if (v := getattr(after, kind))]
        return moved_between([(before, others)], [(after, others)]) if others else moved_claims(before, after)


SNAPSHOTS: Final = SnapshotCodec[Contact](
    schema_version=SNAPSHOT_SCHEMA,
    encode=msgspec.msgpack.Encoder().encode,
    decode=msgspec.msgpack.Decoder(Contact).decode,
    subject_of=lambda stream: stream.id,
)


def _stream(command: ContactCommand | UpsertContact) -> Stream:
    return Stream(command.workspace_id, CATEGORY, command.contact_id)


def _outcome(executed: Executed[Contact]) -> Outcome:
    return Outcome(
        contact_id=executed.id,
        contact=executed.state,
        version=executed.version,
        appended=executed.appended,
        created=executed.created,
        replayed=executed.replayed,
    )
