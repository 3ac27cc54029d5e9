"""R7's histories: steps out of bytes, and the rules of production that they are done to, in memory."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, Final
from uuid import UUID

from msgspec.structs import replace

from contacts.addresses import Address, AddressKeys, address_id
from contacts.consent import commands as c
from contacts.consent import may_send
from contacts.consent.commands import AddressCommand
from contacts.consent.links import Target, UnsubscribeLinks
from contacts.consent.reach import addresses_on
from contacts.contact.commands import DeleteContact, RestoreContact
from contacts.contact.state import Contact
from contacts.errors import Refusal
from contacts.facts import CATEGORIES, Decided, category_of, stream_of
from contacts.proof import NO_PROOF, Proof, ProofDestroyed, Proven
from contacts.suppression import commands as s
from contacts.suppression.state import INSTALLATION
from contacts.values import Email
from eventstore.envelope import Stream, Suppression
from eventstore.suppressions import SuppressionRow
from tests.property.opt_out_model import ADDRESSES, OURS, THEIRS, Model, Step
from tests.property.opt_out_model import CATEGORIES as TOPICS
from tests.support.gathering import WORKSPACE, Gathering

THEIR_WORKSPACE: Final = UUID("01900000-0000-7000-8000-000000000002")
FORM: Final = Proof(text="Yes, send me news", form_version="7")
CONTACTS_MAX: Final = 6
#: How often each step comes up.
WEIGHTS: Final = {
    "create": 3, "edit": 3, "import": 3, "delete": 2, "restore": 2, "merge": 3, "unmerge": 2, "erase": 1,
    "unsubscribe": 4, "one_click": 2, "report_spam": 2, "blacklist": 2, "resubscribe": 3, "confirm": 3,
    "clear_spam": 2, "unblacklist": 3,
}  # fmt: skip
STEPS: Final = tuple(name for name, weight in WEIGHTS.items() for _ in range(weight))
OPENING: Final = frozenset({"resubscribe", "confirm", "clear_spam", "unblacklist"})


def steps_of(choices: bytes) -> Iterator[Step]:
    """The same bytes, the same steps: a generator of bytes makes and shrinks histories."""
    picks = iter(choices)
    created = merged = 0
    for pick in picks:
        name = "create" if created < 2 else STEPS[pick % len(STEPS)]
        if name == "create" and created == CONTACTS_MAX:
            continue
        what, who, how = (next(picks, 0) for _ in range(3))
        step = Step(
            name,
            contact=what % max(1, merged if name == "unmerge" else created),
            other=who % max(1, created),
            email=ADDRESSES[who % len(ADDRESSES)],
            category=TOPICS[how % 2] if name in ("unsubscribe", "one_click", "resubscribe") and how % 4 == 0 else None,
            proven=how % 3 > 0,
            workspace=THEIRS if name in ("blacklist", "unblacklist") and how % 5 == 0 else OURS,
        )
        created += name == "create"
        merged += name == "merge"
        yield step


class CachedKeys(AddressKeys):
    """Histories ask for the same few addresses all the time. One per history, so that planted bugs show."""

    def __init__(self) -> None:
        super().__init__(lambda purpose, text: blake2b(f"{purpose}:{text}".encode(), digest_size=16).digest())
        self._emails: dict[str, Address] = {}

    def email(self, email: Email) -> Address:
        if email not in self._emails:
            self._emails[email] = super().email(email)
        return self._emails[email]


class Rules:
    """The deciders, folds and rows of production, with the log and the table of suppressions as plain collections."""

    def __init__(self) -> None:
        self.keys = CachedKeys()
        self.links = UnsubscribeLinks(bytes(16))
        self.book = Gathering()
        self.ids: list[UUID] = []
        self.merges: list[UUID] = []
        self.erased: set[UUID] = set()
        #: Whether a contact came by a source with double opt-in.
        self._sources: dict[UUID, bool] = {}
        #: Facts by stream, in their order.
        self.facts: dict[Stream, list[tuple[Any, Any]]] = {}
        self.table: dict[tuple[Any, ...], Suppression] = {}

    # -- asking --------------------------------------------------------------------------------------------------------

    def may_send_to(self, emails: tuple[str, ...], workspace: str, category: str | None) -> list[bool]:
        digests = [self.keys.email(Email(email)).widest for email in emails]
        unique = list(dict.fromkeys(digests))
        stopped = may_send._stopped(self._rows(unique, workspace), unique, "email", category)
        return [digest not in stopped for digest in digests]

    def may_send_to_contact(self, contact: int) -> bool:
        id_ = self.ids[contact]
        profile = self.book.profile(id_)
        if profile.root.id in self.erased or may_send._of_contact(profile.root) is not None:
            return False
        members = (profile.shown, *profile.members)
        digests = [a.widest for member in members for a in addresses_on("email", member, self.keys)]
        stopped = may_send._stopped(self._rows(digests, OURS), digests, "email", None)
        return may_send._worst(digests, stopped) is None

    def _rows(self, digests: list[bytes], workspace: str) -> list[SuppressionRow]:
        scopes = (_workspace(workspace), INSTALLATION)
        numbers: dict[bytes, list[int]] = {}
        for number, digest in enumerate(digests, 1):
            numbers.setdefault(digest, []).append(number)
        return [
            SuppressionRow(number, r.kind, r.channel, r.topic, r.holder_id, r.status, r.cause, r.since, 0)
            for r in self.table.values()
            if r.scope_id in scopes
            for number in numbers.get(r.address, ())
        ]

    def refolded(self) -> dict[tuple[Any, ...], Suppression]:
        """The table as a replay of all facts would make it."""
        table: dict[tuple[Any, ...], Suppression] = {}
        for stream, facts in self.facts.items():
            category = CATEGORIES[stream.category]
            state = category.initial(stream.id)
            for fact, at in facts:
                state = category.evolve(state, fact, at, None)
            table |= {_place(row): row for row in category.rows(state, stream.workspace_id)}
        return table

    # -- doing ---------------------------------------------------------------------------------------------------------

    def do(self, step: Step) -> bool:
        """Whether it was accepted."""
        try:
            getattr(self, f"_{step.name}", self._say)(step)
        except (Refusal, _Impossible):
            return False
        return True

    def _create(self, step: Step) -> None:
        id_ = UUID(int=0xA00 + len(self.ids))
        self.book.create(id_, email=step.email, external_id=f"id {len(self.ids)}")
        self.ids.append(id_)
        self._sources[id_] = step.proven
        self._ask_to_confirm(id_)

    def _edit(self, step: Step) -> None:
        root = self._root(step.contact)
        before = self.book.contacts[root].email
        self.book.edit(root, email=step.email)
        if before != step.email:
            self._ask_to_confirm(root)

    def _import(self, step: Step) -> None:
        root = self._root(step.contact)
        before = self.book.contacts[root].email
        self.book.edit(root, email=step.email, campaign_opt_in=True, categories=TOPICS, first_name="imported")
        if before != step.email:
            self._ask_to_confirm(root)

    def _ask_to_confirm(self, id_: UUID) -> None:
        if self._sources[id_]:
            address = self.keys.email(Email(self.book.contacts[id_].email or ""))
            self._record([c.RequestDoubleOptIn(workspace_id=WORKSPACE, address=address, channel="email")])

    def _delete(self, step: Step) -> None:
        self.book.do(DeleteContact, self._root(step.contact), reason="test")

    def _restore(self, step: Step) -> None:
        self.book.do(RestoreContact, self._root(step.contact))

    def _erase(self, step: Step) -> None:
        root = self._root(step.contact)
        profile = self.book.profile(root)
        self.erased.add(root)
        for member in profile.members:
            for address in addresses_on("email", member, self.keys):
                id_ = address_id(WORKSPACE, address.widest)
                for stream in [each for each in self.facts if each.id == id_]:
                    self.facts[stream].append((ProofDestroyed(), self.book.now))

    def _merge(self, step: Step) -> None:
        primary, other = self._root(step.contact), self._root(step.other)
        if primary == other:
            raise _Impossible
        merge = UUID(int=0xB00 + len(self.merges))
        self.book.merge(merge, primary, other)
        self.merges.append(merge)

    def _unmerge(self, step: Step) -> None:
        if step.contact >= len(self.merges) or not self.book.plan_unmerge(self.merges[step.contact]).contacts:
            raise _Impossible
        self._root_of_merge(step)
        self.book.unmerge(self.merges[step.contact])

    def _root_of_merge(self, step: Step) -> None:
        merge = self.book.merges[self.merges[step.contact]]
        if self.book.root_of(merge.primary) in self.erased:
            raise _Impossible

    def _one_click(self, step: Step) -> None:
        address = self.keys.email(Email(step.email))
        token = self.links.seal(Target(WORKSPACE, "email", address.widest, address.exact, step.category))
        self._record([self.links.open(token).objection(NO_PROOF, b"")])

    def _say(self, step: Step) -> None:
        if step.workspace == THEIRS:
            self._record([self._command(step, self.keys.email(Email(step.email)), THEIR_WORKSPACE)])
            return
        profile = self.book.profile(self._root(step.contact))
        if step.name in OPENING and profile.root.deleted:
            raise _Impossible
        members: tuple[Contact, ...] = (profile.shown,)
        if step.name not in OPENING:
            members = (profile.shown, *profile.members)
        addresses = {a.exact: a for member in members for a in addresses_on("email", member, self.keys)}
        self._record([self._command(step, address, WORKSPACE) for address in addresses.values()])

    def _command(self, step: Step, address: Any, workspace_id: UUID) -> AddressCommand:
        place: dict[str, Any] = {"workspace_id": workspace_id, "address": address}
        reason = "a reason" if step.proven else None
        if step.name == "blacklist":
            return s.BlacklistAddress(**place)
        if step.name == "unblacklist":
            return s.UnblacklistAddress(**place, reason=reason)
        place |= {"channel": "email", "reason": reason}
        if step.proven:
            place |= {"proof": FORM, "proof_digest": b"p" * 16}
        if step.category is not None:
            command = c.UnsubscribeCategory if step.name == "unsubscribe" else c.SubscribeCategory
            return command(**place, category=step.category)
        return _COMMANDS[step.name](**place)

    def _record(self, commands: list[AddressCommand]) -> None:
        decided: list[Decided] = []
        for command in commands:
            stream = stream_of(command)
            category = CATEGORIES[category_of(command)]
            same = next((each for each in decided if each.stream == stream), None)
            before = same.before if same else self._state(stream)
            state = same.after(self.book.now, None) if same else before
            facts = category.decide(command, state)
            proven = tuple(Proven(fact, command.address, command.reason, command.proof) for fact in facts)
            if same:
                decided.remove(same)
                proven = same.proven + proven
            decided.append(
                Decided(workspace_id=command.workspace_id, category=category, before=before, proven=proven)
            )  # fmt: skip
        for each in decided:
            self.facts.setdefault(each.stream, []).extend((p.fact, self.book.now) for p in each.proven)
            for row in each.suppressions():
                since = row.since or (self.book.now if row.status else None)
                self.table[_place(row)] = replace(row, since=since)

    def _state(self, stream: Stream) -> Any:
        category = CATEGORIES[stream.category]
        state = category.initial(stream.id)
        for fact, at in self.facts.get(stream, ()):
            state = category.evolve(state, fact, at, None)
        return state

    def _root(self, contact: int) -> UUID:
        root = self.book.root_of(self.ids[contact])
        if root in self.erased:
            raise _Impossible
        return root


class _Impossible(Exception):
    """There is nothing that the step could be done to."""


_COMMANDS: Final[dict[str, Any]] = {
    "unsubscribe": c.WithdrawConsent,
    "resubscribe": c.GrantConsent,
    "report_spam": c.ReportSpam,
    "clear_spam": c.ClearSpam,
    "confirm": c.ConfirmDoubleOptIn,
}


def _workspace(name: str) -> UUID:
    return WORKSPACE if name == OURS else THEIR_WORKSPACE


def _place(row: Suppression) -> tuple[Any, ...]:
    return (row.scope_id, row.address, row.kind, row.channel, row.topic, row.holder_id)


class Mismatch(AssertionError):
    """Something may be sent that somebody objected to, or is held back though nobody did."""


class History:
    """One history on both sides, compared after every step."""

    def __init__(self, choices: bytes, rules: Rules | None = None) -> None:
        self._choices = choices
        self.rules = rules or Rules()
        self.model = Model()
        self.trace: list[str] = []
        self.stopped = 0

    def run(self) -> None:
        """Raises Mismatch, with the trace."""
        for step in steps_of(self._choices):
            accepted = self.rules.do(step)
            self.trace.append(f"{step} {'accepted' if accepted else 'refused'}")
            if accepted:
                self.model.happened(step)
            self.compare(step)
        if self.rules.refolded() != self.rules.table:
            raise Mismatch("\n".join([*self.trace, "a replay of the facts makes another table"]))

    def compare(self, step: Step) -> None:
        category = step.category or TOPICS[0]
        for workspace in (OURS, THEIRS):
            found = self.rules.may_send_to(ADDRESSES, workspace, category)
            for email, allowed in zip(ADDRESSES, found, strict=True):
                self._same(f"{email} in {workspace}", allowed, self.model.may_send(email, workspace, category))
        for contact in range(len(self.model.people)):
            self._same(f"contact {contact}", self.rules.may_send_to_contact(contact), self.model.may_send_to(contact))

    def _same(self, what: str, allowed: bool, expected: bool) -> None:
        self.stopped += not allowed
        if allowed != expected:
            raise Mismatch("\n".join([*self.trace, f"{what}: allowed is {allowed}, by the model {expected}"]))
