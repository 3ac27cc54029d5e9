"""Erasure rules: what an erasure records about everybody concerned. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from uuid import UUID

import msgspec

from contacts import errors
from contacts.contact.events import ContactErased
from contacts.erasure.commands import EraseContact
from contacts.erasure.events import ErasedStream, ErasureCompleted
from contacts.erasure.refusals import NotDeletedLongEnough
from contacts.merge.profile import Profile


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be appended, or whose certificate is the answer already."""

    #: The erasure that left nothing to do.
    done_by: UUID | None = None
    #: By contact, in the order of the profile.
    contacts: Mapping[UUID, ContactErased] = {}
    certificate: ErasureCompleted | None = None


def decide(
    command: EraseContact, profile: Profile, streams: tuple[ErasedStream, ...], marks: Iterable[bytes] = ()
) -> Plan:
    """`streams` are all that the data keys of the profile's contacts and addresses encrypt; `marks` are of all that its
    contacts were ever known by.

    Raises ContactNotFound, NotDeletedLongEnough.
    """
    root = profile.root
    if not root.exists:
        raise errors.ContactNotFound(command.contact_id)
    if root.erased_by is not None:
        return Plan(done_by=root.erased_by)
    if command.deleted_before is not None and (root.deleted_at is None or root.deleted_at > command.deleted_before):
        raise NotDeletedLongEnough(root.id)
    contacts = tuple(member.id for member in profile.members)
    return Plan(
        contacts={contact: ContactErased(erasure_id=command.erasure_id, reason=command.reason) for contact in contacts},
        certificate=ErasureCompleted(
            contact_id=root.id,
            contacts=contacts,
            reason=command.reason,
            streams=streams,
            # In an order that says nothing.
            marks=tuple(sorted(marks)),
        ),
    )
