"""The JSON of duplicates: groups, likely pairs with their evidence, what a removal came to. No queries here."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

import msgspec

from contacts.contact.state import Contact
from contacts.duplicate.keys import By
from contacts.duplicate.model import Evidence, says
from contacts.duplicate.queries import Duplicates, Page
from contacts.duplicate.removal import Removed
from contacts_api.views import Total, View

#: Contacts that can be merged at once.
MERGED_MAX = 100


class EvidenceView(View, frozen=True):
    """What one comparison of two contacts found."""

    #: What was compared: `given_name`, `family_name`, `name_order`, `email`, `phone`, `street`, `place`, `birth`, or
    #: `household`, which takes off what others of a household share as well.
    comparison: str
    #: `same`, `close`, `different` or, for some comparisons, another outcome.
    level: str
    #: Bits: each doubles how likely it is that both are one person; below zero it speaks against it.
    weight: float
    #: In words.
    says: str


class DuplicateView(View, frozen=True, kw_only=True):
    """Contacts that share an address, or two that are likely to be the same person."""

    #: Addresses it: the e-mail or phone in its normal form, or the two ids with an underscore between them.
    key: str
    count: int
    #: Their ids, those created first; at most 100.
    contacts: tuple[UUID, ...]
    #: Of a likely pair: the sum of its evidence in bits. Null for a group.
    score: float | None
    #: Of a likely pair; empty for a group.
    evidence: tuple[EvidenceView, ...]


class DuplicatePage(View, frozen=True):
    """One page of groups or pairs."""

    items: tuple[DuplicateView, ...]
    next_cursor: str | None
    total: Total
    #: Of `likely`: keys (the sound of a name, a day of birth, …) that too many share to be compared for one alone.
    passed_over: int | None
    #: Of `likely`: pairs with a lower score are left out.
    min_score: float | None


class DuplicateContactView(View, frozen=True, kw_only=True):
    """One of the contacts, as far as it helps to tell them apart."""

    id: UUID
    #: For `If-Match`.
    version: int
    full_name: str | None
    email: str | None
    phone: str | None
    external_id: str | None
    source: str | None
    blocked: bool
    created_at: datetime | None
    changed_at: datetime | None


class MergeProposal(View, frozen=True):
    """A body for `POST /v1/merges/preview` and `POST /v1/merges`."""

    primary: UUID
    others: tuple[UUID, ...]


class DuplicateDetailView(View, frozen=True, kw_only=True):
    """A group or pair with its contacts, those created first at the beginning."""

    by: By
    key: str
    count: int
    #: Somebody said that it is none; then no list shows it.
    dismissed: bool
    score: float | None
    evidence: tuple[EvidenceView, ...]
    contacts: tuple[DuplicateContactView, ...]
    next_cursor: str | None
    #: To make one of all; null where they are too many to be merged at once.
    merge: MergeProposal | None


class DismissedView(View, frozen=True):
    """What was dismissed."""

    by: By
    key: str
    dismissed: bool


class RemovedView(View, frozen=True):
    """What a removal came to: `contacts` is the sum of `deleted`, `skipped` and `remaining`."""

    #: Groups that it was about.
    groups: int
    #: Contacts of these, beyond the one of each that stays.
    contacts: int
    deleted: int
    #: Not deleted, because the log has it otherwise: changed, merged or deleted meanwhile.
    skipped: int
    #: More than one request deletes: send the request once more, without its `expected_count` and with another key.
    remaining: int
    #: Stands in the history of every contact deleted.
    operation_id: UUID


def duplicate_page(page: Page) -> DuplicatePage:
    total = Total(page.total.count, page.total.exact)
    return DuplicatePage(tuple(map(_duplicate, page.items)), page.next_cursor, total, page.passed_over, page.min_score)


def _duplicate(found: Duplicates) -> DuplicateView:
    return DuplicateView(
        key=found.key,
        count=found.count,
        contacts=found.contacts,
        score=found.score,
        evidence=tuple(map(_evidence, found.evidence)),
    )


def _evidence(found: Evidence) -> EvidenceView:
    return EvidenceView(found.comparison, found.level, found.weight, says(found.comparison, found.level))


def duplicate_detail(
    by: By, found: Duplicates, contacts: Iterable[Contact], next_cursor: str | None
) -> DuplicateDetailView:
    shown = tuple(map(_contact, contacts))
    whole = next_cursor is None and 2 <= found.count == len(shown) <= MERGED_MAX
    return DuplicateDetailView(
        by=by,
        key=found.key,
        count=found.count,
        dismissed=found.dismissed,
        score=found.score,
        evidence=tuple(map(_evidence, found.evidence)),
        contacts=shown,
        next_cursor=next_cursor,
        merge=MergeProposal(shown[0].id, tuple(each.id for each in shown[1:])) if whole else None,
    )


def _contact(contact: Contact) -> DuplicateContactView:
    return DuplicateContactView(
        id=contact.id,
        version=contact.version,
        full_name=contact.full_name,
        email=contact.email,
        phone=contact.phone,
        external_id=contact.external_id,
        source=contact.source,
        blocked=contact.blocked,
        created_at=contact.created_at,
        changed_at=contact.changed_at,
    )


def removed_view(removed: Removed) -> RemovedView:
    return RemovedView(*msgspec.structs.astuple(removed))
