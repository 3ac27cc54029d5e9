"""Random histories of contacts, done to production's rules and to the model at the same time, and compared."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from contacts.contact import commands as c
from contacts.contact import events as e
from contacts.contact.state import Contact
from contacts.merge.commands import UnmergeContacts
from contacts.merge.decider import leaving
from contacts.merge.edits import edits
from tests.property.merge_model import FIELDS, SETS, Model
from tests.support.gathering import WORKSPACE, Gathering

CONTACTS: Final = 12
WIDTH_MAX: Final = 8
DEPTH_MAX: Final = 6
TAGS: Final = ("a", "A", "b", "c", "D", "d")
LISTS: Final = tuple(UUID(int=number) for number in range(0xF1, 0xF4))
TOKENS: Final = ("t1", "t2", "t3")
VALUES: Final = ("red", "blue", None)
#: Fields that histories edit. Every contact keeps an e-mail and its external id, so that none ends without identity.
EDITED: Final = ("first_name", "country", "phone", "email", "attributes.plan", "attributes.size", "messaging_id")


class Mismatch(AssertionError):
    """Production and model differ."""


class History:
    """Both sides of one history. Steps are chosen by bytes, so that a generator of bytes makes and shrinks them."""

    def __init__(self, choices: bytes) -> None:
        self._choices = choices
        self._at = 0
        self.real = Gathering()
        self.model = Model()
        self.trace: list[str] = []
        self._number = 0

    def run(self) -> None:
        """Raises Mismatch, with the trace, or whatever production raises."""
        for number in range(CONTACTS):
            self._create(UUID(int=0xA00 + number))
        while self._at < len(self._choices):
            self._step()
        self.compare(self.model.roots())

    # -- choosing ------------------------------------------------------------------------------------------------------

    def _pick(self, count: int) -> int:
        """A number below `count`; 0 when the bytes are used up."""
        self._at += 1
        return self._choices[self._at - 1] % count if self._at <= len(self._choices) else 0

    def _one_of(self, items: Any) -> Any:
        items = list(items)
        return items[self._pick(len(items))]

    def _contact(self) -> UUID:
        return UUID(int=0xA00 + self._pick(CONTACTS))

    def _fresh(self) -> int:
        self._number += 1
        return self._number

    # -- steps ---------------------------------------------------------------------------------------------------------

    def _create(self, contact: UUID) -> None:
        kind = self._pick(8)
        name = contact.int - 0xA00
        values: dict[str, Any] = {"external_id": f"x{name}", "email": f"e{name}@example.com"}
        if kind & 1:
            values["first_name"] = f"name {name}"
        if kind & 2:
            values["country"] = "DE"
        sets = {"tags": (TAGS[name % 6], TAGS[(name + kind) % 6].lower()) if kind & 4 else ()}
        unique = {tag.lower(): tag for tag in reversed(sets["tags"])}
        sets["tags"] = tuple(sorted(unique.values()))
        self.model.create(contact, **values, **sets)
        attributes = {"size": str(name)} if kind & 3 == 3 else {}
        if attributes:
            self.model.done[contact].append(("set", "attributes.size", str(name)))
        self.real.create(contact, **values, **sets, attributes=attributes)

    def _step(self) -> None:
        steps = (
            self._merge, self._merge, self._nest, self._unmerge, self._unmerge, self._set, self._set, self._tag,
            self._untag, self._list, self._unlist, self._channel, self._flag, self._set, self._untag, self._merge,
        )  # fmt: skip
        steps[self._pick(len(steps))]()

    def _merge(self) -> None:
        roots = self._mergeable()
        if len(roots) > 1:
            primary = self._one_of(roots)
            others = [root for root in roots if root != primary]
            wanted = [self._one_of(others) for _ in range(1 + self._pick(4) * self._pick(3))]
            self._do_merge(self._alias(primary), list(dict.fromkeys(wanted))[:WIDTH_MAX])

    def _nest(self) -> None:
        """The deepest becomes part of a shallow one, so that depth comes about."""
        roots = sorted(self._mergeable(), key=self.model.depth)
        if len(roots) > 1:
            self._do_merge(roots[self._pick(len(roots) - 1)], [roots[-1]])

    def _mergeable(self) -> list[UUID]:
        profiles = {root: self.model.profile(root) for root in self.model.roots()}
        return [root for root, profile in profiles.items() if not profile["deleted"] and not profile["blocked"]]

    def _alias(self, root: UUID) -> UUID:
        return self._one_of(sorted(self.model.family(root)))

    def _do_merge(self, primary: UUID, others: list[UUID]) -> None:
        if max(map(self.model.depth, others)) >= DEPTH_MAX:
            return
        merge = UUID(int=0xE00 + self._fresh())
        concerned = [primary, *sorted(set().union(*map(self.model.family, others)))]
        choices = {self._one_of(FIELDS): self._one_of(concerned) for _ in range(self._pick(4))}
        known = {field for field in choices if not field.startswith("attributes.")}
        known |= {f"attributes.{key}" for each in (primary, *others) for key in self.real.shown(each).attributes}
        choices = {field: chosen for field, chosen in choices.items() if field in known}
        self._say(f"merge {name(merge)}: {name(primary)} takes {names(others)} with {named(choices)}")
        self.real.merge(merge, primary, *others, **{field.replace(".", "__"): of for field, of in choices.items()})
        self.model.merge(merge, primary, others, choices)
        self.compare([self.model.root(primary)])

    def _unmerge(self) -> None:
        merge = self._one_of([*self.model.merges, None])
        if merge is None:
            return
        real = self.real.merges[merge]
        wanted = tuple(other for other in real.others if self._pick(2))
        command = UnmergeContacts(workspace_id=WORKSPACE, merge_id=merge, contacts=wanted)
        leaves = list(leaving(command, real))
        mode = self._one_of(("subtree", "subtree", "single"))
        assign = self._assign(leaves) if leaves else {}
        self._say(f"unmerge {name(merge)}: {names(leaves)} leave {mode}, taking {named(assign)}")
        roots = {self.model.root(leaf) for leaf in leaves}
        self.real.unmerge(merge, *wanted, mode=mode, **{f.replace(".", "__"): to for f, to in assign.items()})
        self.model.unmerge(merge, leaves, alone=mode == "single", assign=assign)
        self.compare([*roots, *leaves])

    def _assign(self, leaves: list[UUID]) -> dict[str, UUID]:
        edited = self.model.edited(leaves[0])
        found = edits(self.real.profile(leaves[0]), leaves[0], self.real.before(leaves[0]))
        if {field: edit.contact for field, edit in found.items()} != edited:
            raise Mismatch(self.told(f"edits: {named(edited)} and {found}"))
        fields = sorted(edited)
        return {self._one_of(fields): self._one_of(leaves) for _ in range(self._pick(3))} if fields else {}

    def _editable(self) -> UUID | None:
        contact = self._contact()
        return None if self.model.profile(self.model.root(contact))["deleted"] else contact

    def _set(self) -> None:
        contact, field = self._editable(), self._one_of(EDITED)
        if contact is None:
            return
        value: Any = self._one_of(VALUES)
        if field == "email":
            value = f"{value}@example.com"
        elif field == "messaging_id" and value:
            value = f"m{self._fresh()}"
        elif field == "country" and value:
            value = {"red": "DE", "blue": "AT"}[value]
        self._say(f"{name(contact)}.{field} = {value}")
        if field.startswith("attributes."):
            self.real.edit(contact, attributes={field.removeprefix("attributes."): value})
        else:
            self.real.edit(contact, **{field: value})
        self.model.set(contact, field, value)

    def _tag(self) -> None:
        contact, tag = self._editable(), self._one_of(TAGS)
        if contact is not None:
            self._say(f"{name(contact)} tag {tag}")
            self.real.do(c.TagContact, contact, tags=(tag,))
            self.model.add(contact, "tags", tag)

    def _untag(self) -> None:
        contact, tag = self._editable(), self._one_of(TAGS)
        if contact is not None:
            self._say(f"{name(contact)} untag {tag}")
            self.real.do(c.UntagContact, contact, tags=(tag,))
            self.model.drop(contact, "tags", tag)

    def _list(self) -> None:
        contact, list_ = self._editable(), self._one_of(LISTS)
        if contact is not None:
            self._say(f"{name(contact)} joins {name(list_)}")
            self.real.do(c.AddContactToLists, contact, lists=(list_,))
            self.model.add(contact, "lists", list_)

    def _unlist(self) -> None:
        contact, list_ = self._editable(), self._one_of(LISTS)
        if contact is not None:
            self._say(f"{name(contact)} quits {name(list_)}")
            self.real.do(c.RemoveContactFromLists, contact, lists=(list_,))
            self.model.drop(contact, "lists", list_)

    def _channel(self) -> None:
        contact, token, what = self._editable(), self._one_of(TOKENS), self._pick(4)
        if contact is None:
            return
        at, seen_at = int(self.real.now.timestamp()), int(self.real.now.timestamp()) + self._pick(120) - 60
        self._say(f"{name(contact)} channel {token} {('connect', 'connect', 'disconnect', 'seen')[what]}")
        if what < 2:
            channel = e.ChannelIdentity(kind="viber", token=token)
            self.real.do(c.ConnectChannel, contact, channel=channel, connected_at=instant(at))
            self.model.connect(contact, token, at)
        elif what == 2:
            self.real.do(c.DisconnectChannel, contact, kind="viber", token=token)
            self.model.disconnect(contact, token)
        elif token in self.model.profile(self.model.root(contact))["channels"]:
            self.real.do(c.SeeChannel, contact, kind="viber", token=token, seen_at=instant(seen_at))
            if not self.model.profile(self.model.root(contact))["blocked"]:
                self.model.see(contact, token, seen_at)

    def _flag(self) -> None:
        contact, what = self._contact(), self._pick(5)
        deleted = self.model.profile(self.model.root(contact))["deleted"]
        if what < 3 or deleted:
            self._say(f"{name(contact)} {'restored' if deleted else 'deleted'}")
            if deleted:
                self.real.do(c.RestoreContact, contact)
            else:
                self.real.do(c.DeleteContact, contact, reason="x")
            self.model.flag(contact, "deleted", not deleted)
        else:
            self._say(f"{name(contact)} {'blocked' if what == 3 else 'unblocked'}")
            self.real.do(c.BlockContact if what == 3 else c.UnblockContact, contact)
            self.model.flag(contact, "blocked", what == 3)

    # -- comparing -----------------------------------------------------------------------------------------------------

    def compare(self, contacts: list[UUID]) -> None:
        """Who stands for whom, what is shown, and who holds which value. Raises Mismatch."""
        for contact in contacts:
            for member in self.model.family(contact):
                if self.real.root_of(member) != self.model.root(member):
                    raise Mismatch(self.told(f"{name(member)} resolves to {name(self.real.root_of(member))}"))
            expected, found = self.model.shown(contact), as_model(self.real.shown(contact))
            wrong = {k: (expected[k], found[k]) for k in expected if expected[k] != found[k]}
            if wrong:
                raise Mismatch(self.told(f"{name(contact)} (expected, found): {wrong}"))
        unique = {place: holder for place, holder in self.real.holders.items() if not place[0].startswith("upsert")}
        if unique != self.model.holders():
            raise Mismatch(self.told(f"holders: {unique} instead of {self.model.holders()}"))

    def _say(self, text: str) -> None:
        self.trace.append(text)

    def told(self, end: str) -> str:
        return "\n".join([*self.trace, end])


def as_model(contact: Contact) -> dict[str, Any]:
    """A profile of production in the model's form."""
    found: dict[str, Any] = {field: getattr(contact, field) for field in FIELDS if "." not in field}
    found |= {f"attributes.{key}": contact.attributes.get(key) for key in ("plan", "size")}
    found |= {field: set(getattr(contact, field)) for field in SETS}
    found["channels"] = {
        channel.token: (int(channel.first_seen_at.timestamp()), int(channel.last_seen_at.timestamp()))
        for channel in contact.channels
    }
    return found | {"deleted": contact.deleted, "blocked": contact.blocked}


def instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def name(id_: UUID) -> str:
    return f"{id_.int:x}"


def names(ids: list[UUID]) -> list[str]:
    return [name(id_) for id_ in ids]


def named(by_field: dict[str, UUID]) -> dict[str, str]:
    return {field: name(id_) for field, id_ in by_field.items()}
