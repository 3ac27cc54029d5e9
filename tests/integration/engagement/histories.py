"""Random histories of activity, merges and erasures, and what engagement is at any position by a count of its own."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from msgspec.structs import replace

from contacts.activity.events import ActivityRecorded, AddressedAs
from contacts.contact.events import ContactErased
from contacts.merge.events import MergeCompleted, MergeReversed
from eventstore.envelope import RecordedEvent, Unreadable
from tests.integration.activity.model import START, Log


def activity(kind: str, at: datetime, **data: Any) -> ActivityRecorded:
    return ActivityRecorded(
        activity_id=str(uuid4()), kind=kind, occurred_at=at, source="test",
        addressed_as=AddressedAs(by="external_id", value="c-1"), data=data,
    )  # fmt: skip


class History:
    """A log of a few contacts in one workspace that are merged, taken apart and erased all the time."""

    def __init__(self, seed: int, contacts: int = 6) -> None:
        self._random = random.Random(seed)
        self.workspace_id = uuid4()
        self.contacts = [UUID(int=self._random.getrandbits(128), version=4) for _ in range(contacts)]
        self.log = Log()
        self.parents: dict[UUID, UUID] = {}
        self.erased: set[UUID] = set()
        #: Open edges, as (merge, contact).
        self._edges: list[tuple[UUID, UUID]] = []

    def grow(self, steps: int) -> list[RecordedEvent[Any]]:
        for _ in range(steps):
            step = self._random.choices((self._act, self._merge, self._unmerge, self._erase), (20, 3, 2, 0.5))[0]
            step()
        return self.log.events

    def root(self, contact: UUID) -> UUID:
        while contact in self.parents:
            contact = self.parents[contact]
        return contact

    def members(self, root: UUID) -> list[UUID]:
        return [contact for contact in self.contacts if self.root(contact) == root]

    def _alive(self) -> list[UUID]:
        return [contact for contact in self.contacts if contact not in self.erased]

    def _act(self) -> None:
        alive = self._alive()
        if alive:
            # Recorded for whoever stands for the contact, as the handler does.
            self.log.record(self.workspace_id, self.root(self._random.choice(alive)), self._activity())

    def _activity(self) -> ActivityRecorded:
        pick = self._random
        at = START + timedelta(minutes=pick.randrange(60))
        over = pick.choice(("email", "email", "sms", "telegram"))
        kind = pick.choice(
            (
                "conversation.opened", "conversation.closed", "conversation.snoozed", "conversation.assigned",
                "conversation.message_in", "conversation.message_out", "conversation.labels_changed",
                "conversation.fields_changed", "conversation.commented", "message.sent", "message.sent",
                "message.delivered", "message.read", "message.clicked", "message.undelivered", "message.unsubscribed",
                "message.spam_reported", "order.placed", "web.viewed", "location.updated",
            )
        )  # fmt: skip
        data: dict[str, Any] = {}
        if kind.startswith("message."):
            data = {"channel": over}
        if kind == "message.undelivered":
            data["bounce"] = pick.choice(("hard", "soft"))
        if kind == "message.unsubscribed" and pick.random() < 0.5:
            data["category"] = "news"
        if kind.startswith("conversation.message"):
            data = {"channel": over, "preview": f"Hé {pick.randrange(1000)}"}
        if kind == "conversation.assigned":
            data = {"assignee": pick.choice((None, "Ann", "Zoë"))}
        if kind == "conversation.labels_changed":
            data = {"labels": pick.sample(["vip", "Späti", "new"], pick.randrange(3))}
        if kind == "conversation.fields_changed":
            data = {"fields": {pick.choice("abc"): pick.choice((None, 1, 2.5, True, "Ünit"))}}
        return activity(kind, at, **data)

    def _merge(self) -> None:
        roots = [contact for contact in self._alive() if contact not in self.parents]
        if len(roots) < 2:
            return
        primary, *others = self._random.sample(roots, self._random.choice((2, 2, min(3, len(roots)))))
        merge_id = uuid4()
        self.log.record(self.workspace_id, merge_id, MergeCompleted(primary=primary, others=tuple(others)))
        for other in others:
            self.parents[other] = primary
            self._edges.append((merge_id, other))

    def _unmerge(self) -> None:
        if not self._edges:
            return
        merge_id, contact = self._random.choice(self._edges)
        if contact in self.erased:
            return
        # All of one merge have one parent and may leave together.
        leaving = [each for merge, each in self._edges if merge == merge_id]
        if self._random.random() < 0.5:
            leaving = [contact]
        mode: Any = self._random.choice(("single", "subtree"))
        out_of = self.root(contact)
        parent = self.parents[contact]
        event = MergeReversed(contacts=tuple(leaving), out_of=out_of, mode=mode)
        self.log.record(self.workspace_id, merge_id, event)
        for each in leaving:
            del self.parents[each]
            self._edges.remove((merge_id, each))
        if mode == "single":
            for child, above in list(self.parents.items()):
                if above in leaving:
                    self.parents[child] = parent

    def _erase(self) -> None:
        alive = self._alive()
        if not alive:
            return
        profile = self.members(self.root(self._random.choice(alive)))
        if len(profile) > 2:
            return
        for contact in profile:
            erased = ContactErased(erasure_id=uuid4(), reason="person_asked")
            self.log.record(self.workspace_id, contact, erased)
        self.erased.update(profile)
        self._edges = [edge for edge in self._edges if edge[1] not in profile]

    def read_again(self) -> list[RecordedEvent[Any]]:
        """The log as it is read now: what the erased did can no longer be read."""
        return list(unreadable(self.log.events, self.erased))


def unreadable(events: Iterable[RecordedEvent[Any]], erased: set[UUID]) -> Iterator[RecordedEvent[Any]]:
    for event in events:
        if event.stream_id in erased and event.category == "activity":
            yield replace(event, event=Unreadable(type=event.type))
        else:
            yield event


# -- by a count of its own --------------------------------------------------------------------------------------------


def told(events: Iterable[RecordedEvent[Any]], position: int) -> dict[UUID, dict[str, Any]]:
    """What is shown of each profile after a position: of all that was done so far, sorted, the last of everything."""
    parents: dict[UUID, UUID] = {}
    done: dict[UUID, list[tuple[datetime, int, ActivityRecorded]]] = {}
    for recorded in events:
        if recorded.position > position:
            break
        match recorded.event:
            case MergeCompleted(primary=primary, others=others):
                parents.update(dict.fromkeys(others, primary))
            case MergeReversed(contacts=contacts, mode=mode):
                above = [parents.pop(contact) for contact in contacts]
                if mode == "single":
                    for child, parent in list(parents.items()):
                        if parent in contacts:
                            parents[child] = above[0]
            case ActivityRecorded() as event:
                done.setdefault(recorded.stream_id, []).append((event.occurred_at, recorded.position, event))
    profiles: dict[UUID, list[tuple[datetime, int, ActivityRecorded]]] = {}
    for contact, did in done.items():
        root = contact
        while root in parents:
            root = parents[root]
        profiles.setdefault(root, []).extend(did)
    shown = {
        root: _shown([event for _, _, event in sorted(did, key=lambda d: d[:2])]) for root, did in profiles.items()
    }
    return {root: each for root, each in shown.items() if each is not None}


def _shown(did: list[ActivityRecorded]) -> dict[str, Any] | None:
    def of(*kinds: str) -> list[ActivityRecorded]:
        return [event for event in did if event.kind in kinds]

    def last(events: list[ActivityRecorded]) -> ActivityRecorded | None:
        return events[-1] if events else None

    interactions = [
        event
        for event in did
        if event.kind.split(".")[0] in ("order", "web", "widget")
        or event.kind.startswith("conversation.message")
        or event.kind in ("message.read", "message.clicked", "message.unsubscribed", "message.spam_reported")
    ]
    status = last(of("conversation.opened", "conversation.closed", "conversation.snoozed"))
    message = last(of("conversation.message_in", "conversation.message_out"))
    assigned, labels = last(of("conversation.assigned")), last(of("conversation.labels_changed"))
    opened, incoming = last(of("conversation.opened")), last(of("conversation.message_in"))
    over = last([event for event in interactions if event.data.get("channel")])
    fields: dict[str, Any] = {}
    for event in of("conversation.fields_changed"):
        fields |= event.data["fields"]
    mails = [event for event in did if event.kind.startswith("message.") and event.data["channel"] == "email"]
    words = {"opened": "open", "closed": "closed", "snoozed": "snoozed"}
    shown = {
        "conversation_status": words[status.kind.split(".")[1]] if status else None,
        "conversation_assignee": assigned.data["assignee"] if assigned else None,
        "conversation_opened_at": opened.occurred_at if opened else None,
        "last_message_at": message.occurred_at if message else None,
        "last_incoming_at": incoming.occurred_at if incoming else None,
        "last_interaction_at": interactions[-1].occurred_at if interactions else None,
        "last_channel": over.data["channel"] if over else None,
        "last_message_preview": message.data["preview"] if message else None,
        "labels": tuple(sorted(labels.data["labels"])) if labels else (),
        "fields": {key: value for key, value in sorted(fields.items()) if value is not None},
        "email_rating": _rating(mails),
    }
    anything = any((status, assigned, message, labels, fields, interactions)) or shown["email_rating"] is not None
    return shown if anything else None


def _rating(mails: list[ActivityRecorded]) -> float | None:
    def at(*kinds: str) -> list[datetime]:
        return [event.occurred_at for event in mails if event.kind in kinds]

    sent, delivered = len(at("message.sent")), len(at("message.delivered"))
    read, clicked = len(at("message.read")), len(at("message.clicked"))
    refused = [
        event.occurred_at
        for event in mails
        if event.kind == "message.spam_reported"
        or (event.kind == "message.undelivered" and event.data["bounce"] == "hard")
        or (event.kind == "message.unsubscribed" and "category" not in event.data)
    ]
    if refused and max(refused) >= max(at("message.read", "message.clicked"), default=min(refused)):
        return 0.0
    messages = max(sent, delivered, read, clicked)
    if not messages:
        return None
    clicked = min(clicked, messages)
    read = max(min(read, messages), clicked)
    return int((3 * read + 2 * clicked) * 10 / messages + 0.5) / 10
