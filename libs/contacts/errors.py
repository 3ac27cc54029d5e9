"""Why a command was refused: one class per reason, with the ids and values that explain it. Knows nothing of HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID


class Refusal(Exception):
    """Base of everything the domain refuses. The text is meant for the caller and holds no personal data."""


class InvalidValue(Refusal):
    """One value could not be parsed: what is wrong with it, and what would be right."""

    def __init__(self, reason: str, expected: str) -> None:
        super().__init__(f"{reason}; expected {expected}")
        self.reason = reason
        self.expected = expected


class InvalidField(msgspec.Struct, frozen=True):
    """An invalid value and where it stands (JSON pointer)."""

    pointer: str
    reason: str
    expected: str


class InvalidInput(Refusal):
    """Everything that is wrong with one request, all at once."""

    def __init__(self, errors: Iterable[InvalidField]) -> None:
        self.errors = tuple(errors)
        super().__init__("; ".join(f"{error.pointer}: {error.reason}" for error in self.errors))


# -- contact ----------------------------------------------------------------------------------------------------------


class ContactNotFound(Refusal):
    """No such contact in this workspace; also the answer for a contact of another workspace."""

    def __init__(self, contact_id: UUID) -> None:
        super().__init__(f"contact {contact_id} does not exist")
        self.contact_id = contact_id


class ContactAlreadyExists(Refusal):
    """The id of a new contact is in use."""

    def __init__(self, contact_id: UUID) -> None:
        super().__init__(f"contact {contact_id} exists already")
        self.contact_id = contact_id


class ContactIsDeleted(Refusal):
    """A deleted contact can only be restored."""

    def __init__(self, contact_id: UUID) -> None:
        super().__init__(f"contact {contact_id} is deleted; restore it first")
        self.contact_id = contact_id


class ContactIsErased(Refusal):
    """The contact's personal data is gone for good."""

    def __init__(self, contact_id: UUID) -> None:
        super().__init__(f"contact {contact_id} was erased")
        self.contact_id = contact_id


class IdentityMissing(Refusal):
    """A contact needs something to be recognised or reached by."""

    def __init__(self) -> None:
        super().__init__("a contact needs at least one of email, phone, external_id or a channel")


class ExternalIdRequired(Refusal):
    """The workspace demands an external id of every contact."""

    def __init__(self) -> None:
        super().__init__("this workspace requires an external_id for every contact")


class ConsentNotAttested(Refusal):
    """A contact made by hand needs somebody who vouches for the person's consent."""

    def __init__(self) -> None:
        super().__init__("creating a contact by hand requires consent_attested: true")


class ClaimTakenRefusal(Refusal):
    """Another contact of the workspace holds the unique value."""

    def __init__(self, kind: str, holder: UUID) -> None:
        super().__init__(f"this {kind} belongs to contact {holder}")
        #: `external_id` or `messaging_id`.
        self.kind = kind
        #: The contact that holds it.
        self.holder = holder


class ChannelNotFound(Refusal):
    """The contact has no such channel identity."""

    def __init__(self, contact_id: UUID, kind: str) -> None:
        super().__init__(f"contact {contact_id} has no such {kind} channel")
        self.contact_id = contact_id
        self.kind = kind


class TooMany(Refusal):
    """The contact or workspace would hold more of something than the documented limit."""

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(f"more than {limit} {what}")
        self.what = what
        self.limit = limit


# -- merge ------------------------------------------------------------------------------------------------------------


class ContactIsBlocked(Refusal):
    """A blocked contact cannot be merged."""

    def __init__(self, contact_id: UUID) -> None:
        super().__init__(f"contact {contact_id} is blocked; unblock it first")
        self.contact_id = contact_id


class MergedWithItself(Refusal):
    """The primary, or a contact that is part of it, stands among the others."""

    def __init__(self, contact_id: UUID) -> None:
        super().__init__(f"contact {contact_id} cannot be merged with itself")
        self.contact_id = contact_id


class AlreadyAbsorbed(Refusal):
    """Another contact than the primary stands for it."""

    def __init__(self, contact_id: UUID, holder: UUID) -> None:
        super().__init__(f"contact {contact_id} is part of contact {holder}; merge that one, or unmerge it first")
        self.contact_id = contact_id
        #: The contact that stands for it.
        self.holder = holder


class ErasureNotFound(Refusal):
    """No such erasure in this workspace."""

    def __init__(self, erasure_id: UUID) -> None:
        super().__init__(f"erasure {erasure_id} does not exist")
        self.erasure_id = erasure_id


class MergeNotFound(Refusal):
    """No such merge in this workspace."""

    def __init__(self, merge_id: UUID) -> None:
        super().__init__(f"merge {merge_id} does not exist")
        self.merge_id = merge_id


class NotInMerge(Refusal):
    """The contact was not absorbed by this merge."""

    def __init__(self, contact_id: UUID, merge_id: UUID) -> None:
        super().__init__(f"contact {contact_id} was not absorbed by merge {merge_id}")
        self.contact_id = contact_id
        self.merge_id = merge_id


# -- concurrency ------------------------------------------------------------------------------------------------------


class VersionMismatch(Refusal):
    """The caller decided on a version that is no longer the present one."""

    def __init__(self, expected: int, actual: int) -> None:
        super().__init__(f"expected version {expected}, it is at version {actual}")
        self.expected = expected
        self.actual = actual


class TooContended(Refusal):
    """Others kept changing the same stream; nothing was written, try again."""

    def __init__(self, attempts: int) -> None:
        super().__init__(f"the contact was changed by others during {attempts} attempts; try again")
        self.attempts = attempts


class IdempotencyKeyReused(Refusal):
    """The idempotency key had its effect with another request."""

    def __init__(self) -> None:
        super().__init__("this idempotency key was used with another request")


# -- suppression and consent ------------------------------------------------------------------------------------------


class NoSuchAddress(Refusal):
    """The contact has nothing that this channel could reach."""

    def __init__(self, channel: str) -> None:
        super().__init__(f"the contact has no address for {channel}")
        self.channel = channel


class ReasonMissing(Refusal):
    """What lifts a suppression needs a reason."""

    def __init__(self) -> None:
        super().__init__("a reason is needed to let messages through again")


class ProofMissing(Refusal):
    """An agreement without a trace of what was agreed to, or where, is none."""

    def __init__(self) -> None:
        super().__init__("an opt-in needs a proof with at least one of text, form_version and source")


class ObjectionOfOtherSpelling(Refusal):
    """An agreement holds for the spelling it was given with; an objection stands for another one of this address."""

    def __init__(self) -> None:
        super().__init__("somebody objected with another spelling of this address; only that spelling can agree again")


class SuppressedElsewhere(Refusal):
    """Another workspace of the installation keeps the address on its blacklist, and only that one can take it off."""

    def __init__(self) -> None:
        super().__init__("another workspace of this installation blacklisted the address; only it can lift that")


class SuppressionNotFound(Refusal):
    """This workspace has no such entry on its blacklist."""

    def __init__(self, suppression_id: UUID) -> None:
        super().__init__(f"suppression {suppression_id} does not exist")
        self.suppression_id = suppression_id


# -- activity ---------------------------------------------------------------------------------------------------------


class ContactUnknown(Refusal):
    """Nobody in the workspace is known by what the sender said."""

    def __init__(self, tried: Iterable[str]) -> None:
        self.tried = tuple(tried)
        super().__init__(f"no contact of this workspace is known by this {' or '.join(self.tried)}")


class ActivityAlreadyRecorded(Refusal):
    """The sender used the id for something else before; what was recorded then stays as it is."""

    def __init__(self) -> None:
        super().__init__("something else was recorded under this source and id; each thing needs an id of its own")


# -- workspace --------------------------------------------------------------------------------------------------------


class NotAllowed(Refusal):
    """The role or its scopes do not include the action."""

    def __init__(self, action: str, role: str) -> None:
        super().__init__(f"{role} may not do {action}")
        self.action = action
        self.role = role


class WorkspaceNotFound(Refusal):
    """No such workspace."""

    def __init__(self, workspace_id: UUID) -> None:
        super().__init__(f"workspace {workspace_id} does not exist")
        self.workspace_id = workspace_id


class WorkspaceAlreadyExists(Refusal):
    """The id of a new workspace is in use."""

    def __init__(self, workspace_id: UUID) -> None:
        super().__init__(f"workspace {workspace_id} exists already")
        self.workspace_id = workspace_id


class AttributeNotFound(Refusal):
    """No such custom attribute, or it is archived."""

    def __init__(self, key: str) -> None:
        super().__init__(f"attribute {key!r} is not defined")
        self.key = key


class AttributeAlreadyDefined(Refusal):
    """The key is in use by another definition; type and level of a key never change."""

    def __init__(self, key: str, type_: str) -> None:
        super().__init__(f"attribute {key!r} is defined already, as {type_}")
        self.key = key
        self.type = type_


class KeyNotFound(Refusal):
    """No such API key in this workspace."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"API key {key_id!r} does not exist")
        self.key_id = key_id


class KeyAlreadyExists(Refusal):
    """The id of a new API key is in use by another key."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"API key {key_id!r} exists already")
        self.key_id = key_id


class MemberNotFound(Refusal):
    """No such member in this workspace."""

    def __init__(self, member_id: str) -> None:
        super().__init__(f"member {member_id!r} does not exist")
        self.member_id = member_id


class MemberAlreadyAdded(Refusal):
    """The member is there, with another role; change the role instead."""

    def __init__(self, member_id: str, role: str) -> None:
        super().__init__(f"member {member_id!r} is there already, as {role}")
        self.member_id = member_id
        self.role = role


class LastOwner(Refusal):
    """A workspace keeps at least one owner, member or key."""

    def __init__(self) -> None:
        super().__init__("a workspace keeps at least one owner")
