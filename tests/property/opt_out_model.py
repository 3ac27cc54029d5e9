"""What R7 demands, written apart from production: who objected to what, and which steps may end that."""

from __future__ import annotations

from functools import cache
from typing import Any, Final, NamedTuple

OURS: Final = "ours"
THEIRS: Final = "theirs"
#: Every way to spell the addresses of four people, as imports, forms and people do.
ADDRESSES: Final = (
    "ann@gmail.com", "Ann@GMAIL.com", "a.n.n@gmail.com", "ann+news@googlemail.com",
    "bob@example.com", "BOB@Example.COM", "bob+shop@example.com",
    "eve@bücher.de", "EVE@xn--bcher-kva.de", "eve+1@Bücher.de",
    "joe@example.org",
)  # fmt: skip
CATEGORIES: Final = ("weekly", "offers")


class Step(NamedTuple):
    """One thing that happens. `contact` and `other` count contacts in the order they were created."""

    name: str
    contact: int = 0
    other: int = 0
    email: str = ""
    category: str | None = None
    #: With a proof or a reason, where the step can come with one.
    proven: bool = False
    workspace: str = OURS


class Stop(NamedTuple):
    """Something that stands between an address and a message."""

    kind: str
    workspace: str
    #: How the address was spelt; empty where that does not matter.
    spelling: str = ""
    category: str | None = None


class Person:
    """A contact as a naive reader of the steps sees it."""

    def __init__(self, email: str, source: str) -> None:
        self.email = email
        self.source = source
        self.into: int | None = None
        self.deleted = False
        self.erased = False


class Model:
    """Goes through the steps that were accepted, in time."""

    def __init__(self) -> None:
        self.people: list[Person] = []
        self.merges: list[tuple[int, int] | None] = []
        self.stops: dict[str, set[Stop]] = {}
        #: Spellings that agreed, and have not objected since.
        self.agreed: set[str] = set()
        #: Spellings that were asked to confirm, and have not objected since.
        self.asked: set[str] = set()

    # -- asking --------------------------------------------------------------------------------------------------------

    def root(self, contact: int) -> int:
        while (into := self.people[contact].into) is not None:
            contact = into
        return contact

    def emails(self, contact: int) -> list[str]:
        root = self.root(contact)
        return [person.email for n, person in enumerate(self.people) if self.root(n) == root]

    def may_send(self, email: str, workspace: str = OURS, category: str | None = None) -> bool:
        return not any(
            stop.kind == "blacklisted" or (stop.workspace == workspace and stop.category in (None, category))
            for stop in self.stops.get(mailbox(email), ())
        )

    def may_send_to(self, contact: int) -> bool:
        person = self.people[self.root(contact)]
        gone = person.deleted or person.erased
        return not gone and all(self.may_send(email) for email in self.emails(contact))

    # -- what happened -------------------------------------------------------------------------------------------------

    def happened(self, step: Step) -> None:
        """A step that was accepted."""
        getattr(self, f"_{step.name}")(step)

    def _create(self, step: Step) -> None:
        self.people.append(Person(step.email, "subscription_form" if step.proven else "api"))
        self._ask_to_confirm(len(self.people) - 1)

    def _edit(self, step: Step) -> None:
        person = self.people[self.root(step.contact)]
        before, person.email = person.email, step.email
        if before != step.email:
            self._ask_to_confirm(self.root(step.contact))

    def _import(self, step: Step) -> None:
        """Overwrites what a contact says. That is no agreement of anybody."""
        self._edit(step)

    def _ask_to_confirm(self, contact: int) -> None:
        person = self.people[contact]
        waiting = Stop("not_confirmed", OURS, spelling(person.email))
        if person.source != "subscription_form" or spelling(person.email) in self.agreed:
            return
        if waiting not in self._stops(person.email):
            self._stops(person.email).add(waiting)
            self.asked.add(spelling(person.email))

    def _delete(self, step: Step) -> None:
        self.people[self.root(step.contact)].deleted = True

    def _restore(self, step: Step) -> None:
        self.people[self.root(step.contact)].deleted = False

    def _erase(self, step: Step) -> None:
        root = self.root(step.contact)
        for n, person in enumerate(self.people):
            person.erased = person.erased or self.root(n) == root

    def _merge(self, step: Step) -> None:
        primary, other = self.root(step.contact), self.root(step.other)
        self.people[other].into = primary
        self.merges.append((other, primary))

    def _unmerge(self, step: Step) -> None:
        edge = self.merges[step.contact]
        assert edge is not None
        self.people[edge[0]].into = None
        self.merges[step.contact] = None

    def _unsubscribe(self, step: Step) -> None:
        for email in self.emails(step.contact):
            self._object(email, step.category)

    def _one_click(self, step: Step) -> None:
        self._object(step.email, step.category)

    def _report_spam(self, step: Step) -> None:
        for email in self.emails(step.contact):
            self._stops(email).add(Stop("spam", OURS))

    def _blacklist(self, step: Step) -> None:
        emails = [step.email] if step.workspace == THEIRS else self.emails(step.contact)
        for email in emails:
            self._stops(email).add(Stop("blacklisted", step.workspace))

    def _resubscribe(self, step: Step) -> None:
        email = self.people[self.root(step.contact)].email
        objected = {stop for stop in self._stops(email) if (stop.kind, stop.category) == ("objected", step.category)}
        # Who never objected to a category may be subscribed to it without more.
        assert step.proven or (step.category is not None and not objected), "an opt-in was accepted without a proof"
        self._stops(email).discard(Stop("objected", OURS, spelling(email), step.category))
        if step.category is None:
            self.agreed.add(spelling(email))

    def _confirm(self, step: Step) -> None:
        email = self.people[self.root(step.contact)].email
        waiting, objected = Stop("not_confirmed", OURS, spelling(email)), Stop("objected", OURS, spelling(email))
        stops = self._stops(email)
        if waiting not in stops:
            return
        stops.discard(waiting)
        if objected in stops and spelling(email) in self.asked:
            assert step.proven, "an opt-in was accepted without a proof"
            stops.discard(objected)
        if objected not in stops:
            self.agreed.add(spelling(email))

    def _clear_spam(self, step: Step) -> None:
        assert step.proven, "a complaint was cleared without a reason"
        self._stops(self.people[self.root(step.contact)].email).discard(Stop("spam", OURS))

    def _unblacklist(self, step: Step) -> None:
        assert step.proven, "an entry was lifted without a reason"
        email = step.email if step.workspace == THEIRS else self.people[self.root(step.contact)].email
        self._stops(email).discard(Stop("blacklisted", step.workspace))

    def _object(self, email: str, category: str | None) -> None:
        self._stops(email).add(Stop("objected", OURS, spelling(email), category))
        if category is None:
            self.agreed.discard(spelling(email))
            self.asked.discard(spelling(email))

    def _stops(self, email: str) -> set[Stop]:
        return self.stops.setdefault(mailbox(email), set())


@cache
def spelling(email: str) -> str:
    """The same whatever the case, and however the domain is written."""
    local, _, domain = email.partition("@")
    return f"{local.lower()}@{domain.lower().encode('idna').decode()}"


@cache
def mailbox(email: str) -> str:
    """Where messages to it may end up."""
    local, _, domain = spelling(email).partition("@")
    local = local.split("+")[0]
    if domain in ("gmail.com", "googlemail.com"):
        return f"{local.replace('.', '')}@gmail.com"
    return f"{local}@{domain}"


def fields_of(step: Step) -> dict[str, Any]:
    return {name: value for name, value in step._asdict().items() if value not in (0, "", None, False, OURS)}
