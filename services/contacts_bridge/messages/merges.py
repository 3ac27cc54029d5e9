"""Messages of merges and of taking them apart: ids only."""

from __future__ import annotations

from typing import Annotated, Final
from uuid import UUID

from msgspec import Meta

from contacts.contact import events as contact
from contacts_bridge.messages.public import Data, PublicMessage, same_fields


class ContactMerged(Data, frozen=True, kw_only=True, gc=False):
    """Others are shown as part of this contact from here on. Their ids keep resolving, to this one."""

    merge: Annotated[UUID, Meta(description="The merge; it can be taken apart by this id.")]
    others: Annotated[tuple[UUID, ...], Meta(description="Those that are not shown by themselves any more.")]
    chosen: Annotated[tuple[str, ...], Meta(description="Fields for which somebody chose whose value is shown.")] = ()


class ContactAbsorbed(Data, frozen=True, kw_only=True, gc=False):
    """This contact is shown as part of another one. Nothing of it is lost."""

    merge: UUID
    into: UUID


class ContactUnmerged(Data, frozen=True, kw_only=True, gc=False):
    """Others are shown by themselves again."""

    merge: UUID
    contacts: tuple[UUID, ...]


class ContactReinstated(Data, frozen=True, kw_only=True, gc=False):
    """This contact is shown by itself again."""

    merge: UUID
    out_of: UUID


class MergeCompleted(Data, frozen=True, kw_only=True, gc=False):
    """Contacts were merged; each of them tells so itself as well."""

    primary: UUID
    others: tuple[UUID, ...]


class MergeReversed(Data, frozen=True, kw_only=True, gc=False):
    """Contacts came out of a merge; each of them tells so itself as well."""

    contacts: tuple[UUID, ...]
    out_of: UUID


def _merged(event: contact.ContactMerged, _: bool) -> ContactMerged:
    return ContactMerged(merge=event.merge_id, others=event.others, chosen=tuple(sorted(event.choices)))


MESSAGES: Final = (
    PublicMessage("contact.merged", "A contact absorbed others", ContactMerged, _merged),
    PublicMessage(
        "contact.absorbed", "A contact was absorbed by another", ContactAbsorbed, same_fields(ContactAbsorbed)
    ),
    PublicMessage(
        "contact.unmerged", "Others came out of a contact again", ContactUnmerged, same_fields(ContactUnmerged)
    ),
    PublicMessage(
        "contact.reinstated", "An absorbed contact is back", ContactReinstated, same_fields(ContactReinstated)
    ),
    PublicMessage("merge.completed", "Contacts were merged", MergeCompleted, same_fields(MergeCompleted)),
    PublicMessage("merge.reversed", "Contacts came out of a merge", MergeReversed, same_fields(MergeReversed)),
)
