"""What merged contacts must look like, in plain dicts and lists: written apart from production, sharing nothing.

A contact is a list of what was done to it. A profile is that list gone through again from the start, where a merge
takes in the others' profiles as they are now, and merges that were taken apart are as if they had never been.
"""

from __future__ import annotations

import copy
from typing import Any

FIELDS = (
    "external_id",
    "messaging_id",
    "first_name",
    "email",
    "phone",
    "country",
    "attributes.plan",
    "attributes.size",
)
SETS = ("tags", "lists")

Profile = dict[str, Any]
Id = Any


class Model:
    """Contacts, what was done to each, and merges as they stand."""

    def __init__(self) -> None:
        self.done: dict[Id, list[tuple[Any, ...]]] = {}
        #: By merge: primary, choices, and the branches that hang where it happened, each as (contact, absorbed by).
        self.merges: dict[Id, dict[str, Any]] = {}
        self.clock = 0

    def copy(self) -> Model:
        return copy.deepcopy(self)

    # -- the tree ------------------------------------------------------------------------------------------------------

    def parent(self, contact: Id) -> Id | None:
        for merge in self.merges.values():
            if any(child == contact for child, _ in merge["branches"]):
                return merge["primary"]
        return None

    def root(self, contact: Id) -> Id:
        above = self.parent(contact)
        return contact if above is None else self.root(above)

    def children(self, contact: Id) -> list[Id]:
        joints = [what[1] for what in self.done[contact] if what[0] == "merge"]
        return [child for joint in joints for child, _ in self.merges[joint]["branches"]]

    def family(self, contact: Id) -> set[Id]:
        """The contact and all below it."""
        return {contact}.union(*(self.family(child) for child in self.children(contact)))

    def depth(self, contact: Id) -> int:
        return 1 + max((self.depth(child) for child in self.children(contact)), default=0)

    def roots(self) -> list[Id]:
        return [contact for contact in self.done if self.parent(contact) is None]

    # -- profiles ------------------------------------------------------------------------------------------------------

    def profile(self, contact: Id) -> Profile:
        found: Profile = dict.fromkeys(FIELDS)
        found |= {name: {} for name in SETS}
        found |= {"channels": {}, "deleted": False, "blocked": False}
        for what in self.done[contact]:
            self._go_through(contact, found, what)
        return found

    def shown(self, contact: Id) -> Profile:
        """The profile with sets as they are compared: spelling and all, in no order."""
        found = self.profile(contact)
        for name in SETS:
            found[name] = set(found[name].values())
        return found

    def _go_through(self, contact: Id, found: Profile, what: tuple[Any, ...]) -> None:
        match what:
            case ("set", field, value):
                found[field] = value
            case ("add", name, element):
                # What a contact says itself is spelt its way.
                found[name][same(element)] = element
            case ("drop", name, element):
                found[name].pop(same(element), None)
            case ("connect", key, at):
                found["channels"][key] = (at, at)
            case ("disconnect", key):
                found["channels"].pop(key, None)
            case ("see", key, at):
                if key in found["channels"]:
                    found["channels"][key] = (found["channels"][key][0], at)
            case ("deleted" | "blocked", value):
                found[what[0]] = value
            case ("merge", merge):
                self._take_in(contact, found, self.merges[merge])

    def _take_in(self, contact: Id, found: Profile, merge: dict[str, Any]) -> None:
        branches = [child for child, _ in merge["branches"]]
        others = [self.profile(child) for child in branches]
        for field in FIELDS:
            chosen = merge["choices"].get(field)
            if chosen == contact:
                continue
            if chosen is not None and any(chosen in self.family(child) for child in branches):
                found[field] = self.profile(chosen)[field]
            elif found[field] is None:
                found[field] = next((other[field] for other in others if other[field] is not None), None)
        for other in others:
            for name in SETS:
                for key, element in other[name].items():
                    found[name].setdefault(key, element)
            for key, (first, last) in other["channels"].items():
                known = found["channels"].get(key, (first, last))
                found["channels"][key] = (min(known[0], first), max(known[1], last))

    # -- what is done --------------------------------------------------------------------------------------------------

    def create(self, contact: Id, **values: Any) -> None:
        self.done[contact] = []
        for field, value in values.items():
            if field in SETS:
                self.done[contact] += [("add", field, element) for element in value]
            else:
                self.done[contact].append(("set", field.replace("__", "."), value))

    def set(self, contact: Id, field: str, value: Any) -> None:
        self._do_unless(self.profile(self.root(contact))[field] == value, contact, ("set", field, value))

    def add(self, contact: Id, name: str, element: Any) -> None:
        has = same(element) in self.profile(self.root(contact))[name]
        self._do_unless(has, contact, ("add", name, element))

    def drop(self, contact: Id, name: str, element: Any) -> None:
        has = same(element) in self.profile(self.root(contact))[name]
        self._do_unless(not has, contact, ("drop", name, element))

    def connect(self, contact: Id, key: str, at: int) -> None:
        self._do_unless(key in self.profile(self.root(contact))["channels"], contact, ("connect", key, at))

    def disconnect(self, contact: Id, key: str) -> None:
        self._do_unless(key not in self.profile(self.root(contact))["channels"], contact, ("disconnect", key))

    def see(self, contact: Id, key: str, at: int) -> None:
        channels = self.profile(self.root(contact))["channels"]
        self._do_unless(key not in channels or channels[key][1] >= at, contact, ("see", key, at))

    def flag(self, contact: Id, name: str, value: bool) -> None:
        self._do_unless(self.profile(self.root(contact))[name] == value, contact, (name, value))

    def _do_unless(self, so_already: bool, contact: Id, what: tuple[Any, ...]) -> None:
        if not so_already:
            self.done[self.root(contact)].append(what)

    def merge(self, merge: Id, primary: Id, others: list[Id], choices: dict[str, Id]) -> None:
        root = self.root(primary)
        named = {field: root if chosen == primary else chosen for field, chosen in choices.items()}
        self.merges[merge] = {"primary": root, "choices": named, "branches": [(other, merge) for other in others]}
        self.done[root].append(("merge", merge))

    def unmerge(self, merge: Id, leaving: list[Id], *, alone: bool, assign: dict[str, Id] | None = None) -> None:
        gifts = [(taker, gift) for field, taker in (assign or {}).items() for gift in self._take_back(field, taker)]
        for contact in leaving:
            joint = next(j for j in self.merges.values() if (contact, merge) in j["branches"])
            place = joint["branches"].index((contact, merge))
            stay = []
            if alone:
                own = [what[1] for what in self.done[contact] if what[0] == "merge"]
                for each in own:
                    stay += self.merges[each]["branches"]
                    self.merges[each]["branches"] = []
            joint["branches"][place : place + 1] = stay
        for taker, (do, *what) in gifts:
            getattr(self, do)(taker, *what)

    def edited(self, contact: Id) -> dict[str, Id]:
        """Fields edited above `contact` since it came there, and where: of several places the one nearest the root."""
        found: dict[str, Id] = {}
        below = contact
        while (above := self.parent(below)) is not None:
            since = self._since(above, below)
            for field in (*FIELDS, *SETS):
                if self._difference(above, since, field):
                    found[field] = above
            below = above
        return found

    def _since(self, above: Id, below: Id) -> int:
        """Where in what was done to `above` the branch of `below` came to it."""
        for place, what in enumerate(self.done[above]):
            if what[0] == "merge" and below in [child for child, _ in self.merges[what[1]]["branches"]]:
                return place
        raise AssertionError("not a child")

    def _own(self, contact: Id, field: str, to: int | None) -> Any:
        """What `contact` itself says of a field after the first `to` things done to it."""
        value: Any = {} if field in SETS else None
        for what in self.done[contact][:to]:
            if what[:2] == ("set", field):
                value = what[2]
            elif what[:2] == ("add", field):
                value.setdefault(same(what[2]), what[2])
            elif what[:2] == ("drop", field):
                value.pop(same(what[2]), None)
        return value

    def _difference(self, contact: Id, since: int, field: str) -> bool:
        then, now = self._own(contact, field, since), self._own(contact, field, None)
        if field not in SETS:
            return bool(then != now)
        return bool(set(now) - set(then) or self._dropped(contact, since, field, now))

    def _dropped(self, contact: Id, since: int, field: str, now: Any) -> set[Any]:
        dropped = {same(what[2]) for what in self.done[contact][since:] if what[:2] == ("drop", field)}
        return dropped - set(now)

    def _take_back(self, field: str, taker: Id) -> list[tuple[Any, ...]]:
        """Takes the edits of a field out of what was done where they were made; answers them to be done elsewhere."""
        owner = self.edited(taker)[field]
        below = taker
        while self.parent(below) != owner:
            below = self.parent(below)
        since = self._since(owner, below)
        then, now = self._own(owner, field, since), self._own(owner, field, None)
        if field in SETS:
            gifts: list[tuple[Any, ...]] = [("add", field, now[key]) for key in set(now) - set(then)]
            gifts += [("drop", field, key) for key in self._dropped(owner, since, field, now)]
        else:
            gifts = [("set", field, now)]
        kept = [what for what in self.done[owner][since:] if what[0] not in ("set", "add", "drop") or what[1] != field]
        self.done[owner][since:] = kept
        return gifts

    # -- unique values -------------------------------------------------------------------------------------------------

    def holders(self) -> dict[tuple[str, str], Id]:
        """Who holds which unique value: everybody their own, as long as the profile they are in is not deleted."""
        found = {}
        for contact in self.done:
            if not self.profile(self.root(contact))["deleted"]:
                for kind in ("external_id", "messaging_id"):
                    value = self._own(contact, kind, None)
                    if value is not None:
                        found[kind, value] = contact
        return found


def same(element: Any) -> Any:
    """Under what an element is one with others: tags in any case."""
    return element.lower() if isinstance(element, str) else element
