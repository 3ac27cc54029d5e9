"""Engagement as a look at all activity of a profile at once, in plain values: written apart from production.

Nothing is summed up: of everybody in a profile all facts are gone through again, and of each kind the newest is taken.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from math import floor
from typing import Any
from uuid import UUID

from tests.property.fold import Fact

STATUSES = {
    "conversation.opened": "open", "conversation.closed": "closed", "conversation.snoozed": "snoozed",
}  # fmt: skip
MESSAGES = ("conversation.message_in", "conversation.message_out")
DONE = (*MESSAGES, "message.read", "message.clicked", "message.unsubscribed", "message.spam_reported")
DONE_FAMILIES = ("order", "web", "widget")


class Profiles:
    """Who stands for whom by what merges say of themselves."""

    def __init__(self, facts: Iterable[Fact]) -> None:
        self.parents: dict[UUID, UUID] = {}
        for fact in facts:
            said = fact.said or {}
            if fact.name == "merge.completed":
                self.parents.update(dict.fromkeys(said["others"], said["primary"]))
            elif fact.name == "merge.reversed":
                for contact in said["contacts"]:
                    above = self.parents.pop(contact, None)
                    if said.get("mode") == "single" and above is not None:
                        left = [child for child, parent in self.parents.items() if parent == contact]
                        self.parents.update(dict.fromkeys(left, above))

    def root(self, contact: UUID) -> UUID:
        return self.root(self.parents[contact]) if contact in self.parents else contact


def engagements(facts: list[Fact]) -> dict[UUID, dict[str, Any]]:
    """What is shown of each profile that anything is known of."""
    profiles = Profiles(facts)
    erased = {fact.stream for fact in facts if fact.name == "contact.erased"}
    of: dict[UUID, list[Fact]] = {}
    for fact in facts:
        if fact.category == "activity" and fact.said is not None and fact.stream not in erased:
            of.setdefault(profiles.root(fact.stream), []).append(fact)
    found = {root: _shown(sorted(done, key=_when)) for root, done in of.items()}
    return {root: shown for root, shown in found.items() if any(each not in (None, [], {}) for each in shown.values())}


def _when(fact: Fact) -> Any:
    assert fact.said is not None
    return fact.said["occurred_at"], fact.position


def _shown(done: list[Fact]) -> dict[str, Any]:
    """`done` comes in the order in which it happened."""
    told = [fact.said for fact in done if fact.said]
    activities = [(said["kind"], said["occurred_at"], said.get("data", {})) for said in told]

    def times(*kinds: str, **data: Any) -> list[Any]:
        return [at for kind, at, said in activities if kind in kinds and data.items() <= said.items()]

    def last(values: list[Any]) -> Any:
        return values[-1] if values else None

    interactions = [a for a in activities if a[0] in DONE or a[0].partition(".")[0] in DONE_FAMILIES]
    labels = last([said["labels"] for kind, _, said in activities if kind == "conversation.labels_changed"])
    assignees = [said.get("assignee") for kind, _, said in activities if kind == "conversation.assigned"]
    fields: dict[str, Any] = {}
    for kind, _, said in activities:
        if kind == "conversation.fields_changed":
            fields.update(said.get("fields", {}))
    return {
        "conversation_status": last([STATUSES[kind] for kind, _, _ in activities if kind in STATUSES]),
        "conversation_assignee": last(assignees),
        "conversation_opened_at": last(times("conversation.opened")),
        "last_message_at": last(times(*MESSAGES)),
        "last_incoming_at": last(times("conversation.message_in")),
        "last_interaction_at": last([at for _, at, _ in interactions]),
        "last_channel": last([said["channel"] for _, _, said in interactions if said.get("channel")]),
        "last_message_preview": last([said.get("preview") for kind, _, said in activities if kind in MESSAGES]),
        "labels": sorted(set(labels or ())),
        "fields": {key: value for key, value in fields.items() if value is not None},
        "email_rating": _rating(
            sent=len(times("message.sent", channel="email")),
            delivered=len(times("message.delivered", channel="email")),
            read=times("message.read", channel="email"),
            clicked=times("message.clicked", channel="email"),
            refused=[
                *times("message.undelivered", channel="email", bounce="hard"),
                *(
                    at
                    for kind, at, said in activities
                    if kind in ("message.unsubscribed", "message.spam_reported")
                    and said.get("channel") == "email"
                    and "category" not in said
                ),
            ],
        ),
    }


def _rating(*, sent: int, delivered: int, read: list[Any], clicked: list[Any], refused: list[Any]) -> float | None:
    if refused and not any(at > max(refused) for at in (*read, *clicked)):
        return 0.0
    messages = max(sent, delivered, len(read), len(clicked))
    if not messages:
        return None
    points = Fraction(3 * max(len(read), len(clicked)) + 2 * len(clicked), messages)
    return floor(points * 10 + Fraction(1, 2)) / 10
