"""The JSON of restoring what others hold parts of meanwhile: the offer, and what was given up. No queries here."""

from __future__ import annotations

from uuid import UUID

import msgspec

from contacts.contact.events import Released
from contacts.contact.state import Contact
from contacts.restore.commands import OnConflict
from contacts.restore.handler import Restored
from contacts.restore.refusals import RestoreConflict
from contacts_api.views import ContactView, View, contact_view


class ReleasedView(View, frozen=True):
    """A unique value that another contact took meanwhile."""

    #: Whose own value it was: the contact's, or that of one it had absorbed.
    contact: UUID
    #: `external_id` or `messaging_id`.
    field: str
    #: The contact that holds it now.
    holder: UUID


class RestoredView(ContactView, frozen=True, kw_only=True):
    """A restored contact that gave something up, or the contact that it was merged into."""

    #: The merge that brought it there, for unmerging; null where it stands for itself.
    restored_by_merge: UUID | None
    released: tuple[ReleasedView, ...]


class MergeOfferView(View, frozen=True):
    """The body of a merge that restores the contact and merges it into the holder."""

    primary: UUID
    others: tuple[UUID, ...]
    restore: bool


class FollowUpView(View, frozen=True):
    """A request that is ready to be sent."""

    method: str
    href: str
    body: MergeOfferView


class OfferView(View, frozen=True):
    """How a restore goes on that met a conflict."""

    conflicts: tuple[ReleasedView, ...]
    #: Values of `on_conflict` with which the same request restores the contact.
    on_conflict: tuple[OnConflict, ...]
    #: Shows what merging would come to; null where one of the two is blocked.
    preview: FollowUpView | None
    #: Restores it and merges it into the holder; null where one of the two is blocked.
    merge: FollowUpView | None


def offer_view(conflict: RestoreConflict) -> OfferView:
    ways: tuple[OnConflict, ...] = ("release",) if conflict.primary is None else ("merge", "release")
    preview, merge = (
        None if conflict.primary is None else _follow_up(href, conflict.primary, conflict.contact_id)
        for href in ("/v1/merges/preview", "/v1/merges")
    )
    return OfferView(tuple(map(_released, conflict.taken)), ways, preview, merge)


def _follow_up(href: str, primary: UUID, contact_id: UUID) -> FollowUpView:
    return FollowUpView("POST", href, MergeOfferView(primary, (contact_id,), True))


def restored_view(restored: Restored, contact: Contact) -> ContactView:
    """`contact` is that of the outcome, with how it stands. Plain where nothing had to be given up."""
    view = contact_view(contact)
    if not restored.released:
        return view
    return RestoredView(
        **msgspec.structs.asdict(view),
        restored_by_merge=restored.merge_id,
        released=tuple(map(_released, restored.released)),
    )


def _released(each: Released) -> ReleasedView:
    return ReleasedView(each.contact, each.field, each.holder)
