"""Contacts and profiles as a fold of the log, in plain dicts: written apart from production, sharing nothing with it.

A contact is what its own events say, gone through from the first to the last. A profile is the same walk again, where a
merge takes in the others' profiles as they are now, and what was given away at an unmerge is as if it had never been.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

SCALARS = (
    "external_id", "messaging_id", "first_name", "last_name", "email", "phone", "country", "time_zone", "language",
    "address", "location", "avatar_url", "assignee", "campaign_opt_in",
)  # fmt: skip
SETS = ("tags", "lists", "categories")

State = dict[str, Any]


class Fact(NamedTuple):
    """One event as the log has it, in plain values; `said` is None where nobody can read it any more."""

    position: int
    workspace: UUID
    category: str
    stream: UUID
    version: int
    name: str
    at: datetime
    actor: str | None
    said: dict[str, Any] | None


def fact_of(recorded: Any) -> Fact:
    said = msgspec.to_builtins(recorded.event, builtin_types=(datetime, UUID, bytes))
    unreadable = type(recorded.event).__name__ == "Unreadable"
    return Fact(
        recorded.position, recorded.workspace_id, recorded.category, recorded.stream_id, recorded.version,
        recorded.type, recorded.recorded_at, recorded.metadata.actor, None if unreadable else said,
    )  # fmt: skip


class Contacts:
    """The contacts of one workspace, out of the facts of their streams in order of position."""

    def __init__(self, facts: list[Fact]) -> None:
        self.facts: dict[UUID, list[Fact]] = defaultdict(list)
        for fact in facts:
            if fact.category == "contact":
                self.facts[fact.stream].append(fact)
        self._profiles: dict[UUID, State] = {}
        self._owns: dict[UUID, State] = {}

    # -- who stands for whom -------------------------------------------------------------------------------------------

    def erased(self, contact: UUID) -> bool:
        return any(fact.name == "contact.erased" or fact.said is None for fact in self.facts[contact])

    def parent(self, contact: UUID) -> tuple[UUID, UUID] | None:
        """Who absorbed it last, and the merge; None where it stands for itself."""
        found = None
        for fact in self.facts[contact]:
            if fact.name == "contact.absorbed" and fact.said:
                found = fact.said["into"], fact.said["merge_id"]
            elif fact.name in ("contact.reinstated", "contact.erased"):
                found = None
        return found

    def root(self, contact: UUID) -> UUID:
        above = self.parent(contact)
        return contact if above is None else self.root(above[0])

    def edges(self, contact: UUID) -> dict[int, list[tuple[UUID, UUID]]]:
        """Of those that it claims to hold, the ones that say so themselves: between the events of one append they
        may not agree."""
        agreed = {
            version: [edge for edge in edges if (self.parent(edge[0]) or [None])[0] == contact]
            for version, edges in self.claimed(contact).items()
        }
        return {version: edges for version, edges in agreed.items() if edges}

    def claimed(self, contact: UUID) -> dict[int, list[tuple[UUID, UUID]]]:
        """Whom each of its merges still holds, as (child, merge), by the version of the merge."""
        held: dict[int, list[tuple[UUID, UUID]]] = {}
        for fact in self.facts[contact]:
            said = fact.said or {}
            if fact.name == "contact.merged":
                held[fact.version] = [(other, said["merge_id"]) for other in said["others"]]
            elif fact.name == "contact.unmerged":
                for edges in held.values():
                    edges[:] = [new for edge in edges for new in self._after(edge, said)]
            elif fact.name == "contact.erased" or (fact.name == "contact.reinstated" and said.get("mode") == "single"):
                held.clear()
        return {version: edges for version, edges in held.items() if edges}

    @staticmethod
    def _after(edge: tuple[UUID, UUID], said: dict[str, Any]) -> list[tuple[UUID, UUID]]:
        child, merge = edge
        if merge != said["merge_id"] or child not in said["contacts"]:
            return [edge]
        return [(r["contact"], r["merge_id"]) for r in said.get("reattached", ()) if r["instead_of"] == child]

    def children(self, contact: UUID) -> list[UUID]:
        return [child for edges in self.edges(contact).values() for child, _ in edges]

    def below(self, contact: UUID) -> list[UUID]:
        """All that it stands for: its children, and after all of them what each of these stands for."""
        children = self.children(contact)
        return children + [each for child in children for each in self.below(child)]

    # -- what is shown -------------------------------------------------------------------------------------------------

    def own(self, contact: UUID) -> State:
        """What its own events say."""
        if contact not in self._owns:
            self._owns[contact] = self._walk(contact, merging=False)
        return self._owns[contact]

    def profile(self, contact: UUID) -> State:
        """With what it absorbed."""
        if not self.children(contact):
            return self.own(contact)
        if contact not in self._profiles:
            self._profiles[contact] = self._walk(contact, merging=True)
        return self._profiles[contact]

    def _walk(self, contact: UUID, *, merging: bool) -> State:
        edges = self.edges(contact) if merging else {}
        given = list(self._given(contact)) if merging else []
        found: State = dict.fromkeys(SCALARS) | {"attributes": {}, "channels": {}}
        mine: dict[str, list[Any]] = {name: [] for name in SETS}
        brought: dict[str, dict[Any, Any]] = {name: {} for name in SETS}
        for fact in self.facts[contact]:
            for what, key, value in _ops(fact):
                if any(key == gone and since < fact.version < until for gone, since, until in given):
                    continue
                if what == "set" and key.startswith("attributes."):
                    found["attributes"][key.removeprefix("attributes.")] = value
                elif what == "set":
                    found[key] = value
                elif what in ("add", "drop"):
                    name = key.partition("\x1f")[0]
                    mine[name] = [each for each in mine[name] if each != value] + ([value] if what == "add" else [])
                    if what == "drop":
                        brought[name].pop(key, None)
                else:
                    _channel(found["channels"], what, value)
            if fact.version in edges:
                self._take_in(contact, fact, edges[fact.version], found, brought)
        found["attributes"] = {key: value for key, value in found["attributes"].items() if value is not None}
        for name in SETS:
            united = {_key(name, each): each for each in mine[name]}
            found[name] = sorted([*mine[name], *(each for key, each in brought[name].items() if key not in united)])
        found["channels"] = self._ordered(contact, found["channels"], merging=merging)
        return found | self._circumstances(contact)

    def _ordered(self, contact: UUID, channels: dict[Any, Any], *, merging: bool) -> list[Any]:
        """Its own first, in their order; those that came along after them."""
        if not merging:
            return list(channels.values())
        own = [_channel_key(channel) for channel in self.own(contact)["channels"]]
        keys = [key for key in own if key in channels] + [key for key in channels if key not in own]
        return [channels[key] for key in keys]

    def _given(self, contact: UUID) -> Iterator[tuple[str, int, int]]:
        for fact in self.facts[contact]:
            if fact.name == "contact.unmerged":
                for key, gift in (fact.said or {}).get("given", {}).items():
                    yield key, gift["since"], fact.version

    def _take_in(
        self, contact: UUID, fact: Fact, edges: list[tuple[UUID, UUID]], found: State, brought: dict[str, Any]
    ) -> None:
        children = [child for child, _ in edges]
        others = [self.profile(child) for child in children]
        family = {each for child in children for each in (child, *self.below(child))}
        choices = (fact.said or {}).get("choices", {})
        fields = {*SCALARS, *choices}.union(*(("attributes." + key for key in other["attributes"]) for other in others))
        for field in fields:
            chosen = choices.get(field)
            if chosen == contact:
                continue
            if chosen in family:
                _put(found, field, _get(self.profile(chosen), field))
            elif _get(found, field) is None:
                _put(found, field, next((v for o in others if (v := _get(o, field)) is not None), None))
        for other in others:
            for name in SETS:
                for each in other[name]:
                    brought[name].setdefault(_key(name, each), each)
            for channel in other["channels"]:
                known = found["channels"].get(_channel_key(channel), channel)
                found["channels"][_channel_key(channel)] = known | {
                    "first_seen_at": min(known["first_seen_at"], channel["first_seen_at"]),
                    "last_seen_at": max(known["last_seen_at"], channel["last_seen_at"]),
                }

    def _circumstances(self, contact: UUID) -> State:
        """What is never another contact's."""
        facts = self.facts[contact]
        born = facts[0].said or {}
        found: State = {
            "id": contact, "version": len(facts), "created_at": facts[0].at, "source": born.get("source"),
            "consent_attested": born.get("consent_attested", False), "absorbed": self.below(contact),
        }  # fmt: skip
        for fact in facts:
            said = fact.said or {}
            if fact.name != "contact.channel_seen":
                found["changed_at"] = fact.at
            if fact.name in ("contact.blocked", "contact.unblocked"):
                on = fact.name == "contact.blocked"
                found |= {"blocked": on, "blocked_at": fact.at if on else None}
                found["blocked_reason"] = said.get("reason") if on else None
            elif fact.name in ("contact.deleted", "contact.restored"):
                on = fact.name == "contact.deleted"
                found |= {"deleted_at": fact.at if on else None, "deletion_reason": said["reason"] if on else None}
        above = self.parent(contact)
        return found | {"absorbed_into": above and above[0], "absorbed_by": above and above[1]}


def _ops(fact: Fact) -> Iterator[tuple[str, str, Any]]:
    """What a fact does, as (what, key, value); the key is the one by which edits are given away."""
    said = fact.said or {}
    match fact.name:
        case "contact.created" | "contact.details_changed":
            yield from (("set", field, said[field]) for field in SCALARS if field in said)
            yield from (("set", f"attributes.{key}", value) for key, value in said.get("attributes", {}).items())
            for name in SETS:
                for each in (*said.get(name, ()), *said.get(f"{name}_added", ())):
                    yield "add", _key(name, each), each
                yield from (("drop", _key(name, each), each) for each in said.get(f"{name}_removed", ()))
            for channel in said.get("channels", ()):
                yield "connect", "", channel | {"first_seen_at": fact.at, "last_seen_at": fact.at}
        case "contact.tagged":
            yield from (("add", _key("tags", each), each) for each in said.get("tags", ()))
        case "contact.untagged":
            yield from (("drop", _key("tags", each), each) for each in said.get("tags", ()))
        case "contact.listed":
            yield from (("add", _key("lists", each), each) for each in said.get("lists", ()))
        case "contact.unlisted":
            yield from (("drop", _key("lists", each), each) for each in said.get("lists", ()))
        case "contact.channel_connected":
            at = said.get("connected_at") or fact.at
            yield "connect", "", said["channel"] | {"first_seen_at": at, "last_seen_at": at}
        case "contact.channel_disconnected" | "contact.channel_seen":
            yield fact.name.rpartition("_")[2], "", said


def _channel(channels: dict[Any, Any], what: str, said: dict[str, Any]) -> None:
    key = _channel_key(said)
    if what == "seen":
        if key in channels:
            channels[key] = channels[key] | {"last_seen_at": max(said["seen_at"], channels[key]["last_seen_at"])}
        return
    channels.pop(key, None)
    if what == "connect":
        channels[key] = dict(said)


def _channel_key(channel: dict[str, Any]) -> tuple[Any, ...]:
    return channel["kind"], channel.get("application"), channel["token"]


def _key(name: str, element: Any) -> str:
    return f"{name}\x1f{str(element).casefold() if name == 'tags' else element}"


def _get(state: State, field: str) -> Any:
    if field.startswith("attributes."):
        return state["attributes"].get(field.removeprefix("attributes."))
    return state[field]


def _put(state: State, field: str, value: Any) -> None:
    if field.startswith("attributes."):
        state["attributes"][field.removeprefix("attributes.")] = value
    else:
        state[field] = value
