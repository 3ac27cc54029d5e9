"""The JSON of activity: what became of each item of a batch, and the pages of a timeline. No queries here."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec

from contacts.activity.events import ReferenceKind
from contacts.activity.handler import Outcome, Report
from contacts.activity.kinds import Category
from contacts.activity.queries import Activity
from contacts_api.errors import Problem, problem_of
from contacts_api.views import Total, View


class ActivityResultView(View, frozen=True):
    """What became of one item."""

    #: `dropped`: the contact is blocked.
    outcome: Outcome
    #: For whom it was recorded: the contact that stands for the one that was meant.
    contact_id: UUID | None
    #: Why it was refused.
    problem: Problem | None


class ActivityCounts(View, frozen=True):
    """They add up to the number of items."""

    recorded: int
    duplicate: int
    dropped: int
    refused: int


class ActivityReportView(View, frozen=True):
    """What became of a batch."""

    #: In the order of the request.
    items: tuple[ActivityResultView, ...]
    counts: ActivityCounts


class AddressedAsView(View, frozen=True):
    """What the sender knew the person by."""

    by: ReferenceKind
    value: str
    channel: str | None
    application: str | None


class ActivityView(View, frozen=True, kw_only=True):
    """Something that happened."""

    #: The sender's; unique together with `source`.
    id: str
    source: str
    type: str
    category: Category
    time: datetime
    recorded_at: datetime
    #: For whom it was recorded: of a merged profile, one of the contacts that it is made of.
    contact_id: UUID
    #: The contact that was meant.
    addressed_to: UUID
    addressed_as: AddressedAsView
    #: The fields of its type.
    data: Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema={"type": "object"})]


class ActivityPage(View, frozen=True):
    """One page of a timeline, newest first."""

    items: tuple[ActivityView, ...]
    next_cursor: str | None
    total: Total


def report_view(report: Report) -> ActivityReportView:
    counts = report.counts
    return ActivityReportView(
        items=tuple(
            ActivityResultView(r.outcome, r.contact_id, None if r.refusal is None else problem_of(r.refusal)[0])
            for r in report.results
        ),
        counts=ActivityCounts(counts["recorded"], counts["duplicate"], counts["dropped"], counts["refused"]),
    )


def activity_view(activity: Activity) -> ActivityView:
    found = activity.addressed_as
    return ActivityView(
        id=activity.activity_id,
        source=activity.source,
        type=activity.kind,
        category=activity.category,
        time=activity.occurred_at,
        recorded_at=activity.recorded_at,
        contact_id=activity.contact_id,
        addressed_to=found.contact_id or activity.contact_id,
        addressed_as=AddressedAsView(found.by, found.value, found.channel, found.application),
        data=activity.data,
    )
