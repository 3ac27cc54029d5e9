"""R7 through the log: the same histories on real PostgreSQL, asked through may-send, the table against the log.

Fewer of them than in memory, for the same model: what is looked at here is what lies between the rules and the answer.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from uuid_utils.compat import uuid7

from contacts.catalog import CODEC
from contacts.consent import commands as c
from contacts.consent import may_send
from contacts.consent.links import Target
from contacts.contact.commands import DeleteContact, RestoreContact
from contacts.erasure.commands import EraseContact
from contacts.erasure.handler import ErasureHandler
from contacts.errors import Refusal
from contacts.execution import Request
from contacts.facts import CATEGORIES
from contacts.merge.commands import UnmergeContacts
from contacts.proof import NO_PROOF
from contacts.suppression import commands as s
from eventstore.envelope import Suppression
from eventstore.store import EventStore
from tests.property.figures import SEED, figure
from tests.property.opt_out_histories import OPENING, Mismatch, steps_of
from tests.property.opt_out_model import ADDRESSES, OURS, THEIRS, Model, Step
from tests.property.opt_out_model import CATEGORIES as TOPICS
from tests.support.people import FORM, KEYRING, METADATA, People, Process
from tests.support.report import Report

FORM_SOURCES = frozenset({"subscription_form"})
ASKED: dict[str, Any] = {
    "unsubscribe": c.WithdrawConsent,
    "resubscribe": c.GrantConsent,
    "report_spam": c.ReportSpam,
    "clear_spam": c.ClearSpam,
    "confirm": c.ConfirmDoubleOptIn,
    "blacklist": s.BlacklistAddress,
    "unblacklist": s.UnblacklistAddress,
}


@pytest.fixture
async def process(module_database: str) -> AsyncIterator[Process]:
    store = await EventStore.open(module_database, codec=CODEC, keyring=KEYRING, pool_size=4)
    yield Process.on(store, module_database)
    await store.close()


class Stack:
    """Two workspaces of one installation, whose addresses no other history has."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.ours, self.theirs = People(process, uuid4()), People(process, uuid4())
        self._mark = uuid4().hex[:8]
        self._contacts: list[UUID] = []
        self._merges: list[UUID] = []
        self._erasures = ErasureHandler(
            process.store, process.contacts.components, process.facts, process.keys
        )  # fmt: skip

    def email(self, text: str) -> str:
        """The e-mail blacklist is one for all histories, so each has mailboxes of its own."""
        return f"{self._mark}{text}"

    async def do(self, step: Step) -> bool:
        try:
            await getattr(self, f"_{step.name}", self._say)(step)
        except (Refusal, LookupError):
            return False
        return True

    async def _create(self, step: Step) -> None:
        source = "subscription_form" if step.proven else "api"
        fields: dict[str, Any] = {"source": source, "double_opt_in": FORM_SOURCES}
        self._contacts.append(await self.ours.create(self.email(step.email), **fields))

    async def _edit(self, step: Step) -> None:
        await self.ours.edit(
            self._contacts[step.contact], double_opt_in=FORM_SOURCES, email=self.email(step.email)
        )  # fmt: skip

    async def _import(self, step: Step) -> None:
        await self.ours.edit(
            self._contacts[step.contact], double_opt_in=FORM_SOURCES, email=self.email(step.email),
            campaign_opt_in=True, categories=TOPICS,
        )  # fmt: skip

    async def _delete(self, step: Step) -> None:
        await self._change(DeleteContact, step, reason="test")

    async def _restore(self, step: Step) -> None:
        await self._change(RestoreContact, step)

    async def _change(self, command: type, step: Step, **fields: Any) -> None:
        asked = command(workspace_id=self.ours.workspace_id, contact_id=self._contacts[step.contact], **fields)
        await self.process.contacts.execute(asked, metadata=METADATA)

    async def _erase(self, step: Step) -> None:
        contact = self._contacts[step.contact]
        if (await self.process.contacts.components.load(self.ours.workspace_id, contact)).erased:
            raise LookupError
        command = EraseContact(
            workspace_id=self.ours.workspace_id, contact_id=contact, erasure_id=uuid7(), reason="person_asked"
        )  # fmt: skip
        await self._erasures.execute(command, metadata=METADATA)

    async def _merge(self, step: Step) -> None:
        primary, other = [
            await self.process.contacts.load(self.ours.workspace_id, self._contacts[each])
            for each in (step.contact, step.other)
        ]
        if primary.id == other.id:
            raise LookupError
        self._merges.append(await self.ours.merge(primary.id, other.id))

    async def _unmerge(self, step: Step) -> None:
        command = UnmergeContacts(workspace_id=self.ours.workspace_id, merge_id=self._merges[step.contact])
        outcome = await self.process.merges.execute(command, metadata=METADATA)
        if not outcome.appended.event_count:
            raise LookupError

    async def _one_click(self, step: Step) -> None:
        address = self.process.keys.email(self.email(step.email))  # type: ignore[arg-type]
        target = Target(self.ours.workspace_id, "email", address.widest, address.exact, step.category)
        asked, kept = [target.objection(NO_PROOF, b"")], (self.ours.workspace_id, 0)
        await self.process.facts.record(self.ours.workspace_id, asked, Request(metadata=METADATA), kept)

    async def _say(self, step: Step) -> None:
        if step.workspace == THEIRS:
            address = self.process.keys.email(self.email(step.email))  # type: ignore[arg-type]
            fields = {"reason": "a reason"} if step.proven else {}
            asked = [ASKED[step.name](workspace_id=self.theirs.workspace_id, address=address, **fields)]
            kept = (self.theirs.workspace_id, 0)
            await self.process.facts.record(self.theirs.workspace_id, asked, Request(metadata=METADATA), kept)
            return
        command = ASKED[step.name]
        fields = {"reason": "a reason", "proof": FORM} if step.proven else {}
        if step.category is not None:
            command = c.UnsubscribeCategory if step.name == "unsubscribe" else c.SubscribeCategory
            fields["category"] = step.category
        await self.ours.ask(self._contacts[step.contact], command, opens=step.name in OPENING, **fields)

    async def compare(self, step: Step, model: Model) -> list[str]:
        category = step.category or TOPICS[0]
        wrong: list[str] = []
        for name, people in ((OURS, self.ours), (THEIRS, self.theirs)):
            found = await people.may_send_to(*map(self.email, ADDRESSES), category=category)
            for email, reason in zip(ADDRESSES, found, strict=True):
                if (reason is None) != model.may_send(email, name, category):
                    wrong.append(f"{email} in {name}: {reason}")
        for contact, reason in enumerate(await self.ours.may_send(*self._contacts)):
            if (reason is None) != model.may_send_to(contact):
                wrong.append(f"contact {contact}: {reason}")
        return wrong

    async def table_differs_from_the_log(self) -> str | None:
        """Rows as appends wrote them, and rows as a replay of all facts makes them."""
        for people in (self.ours, self.theirs):
            written = await _table(people)
            replayed = await _replayed(people)
            if written != replayed:
                return f"the table has {written - replayed}, a replay of the log makes {replayed - written}"
        return None


async def _table(people: People) -> set[tuple[Any, ...]]:
    rows = await people.process.store.pool.fetch(
        "SELECT scope_id, holder_id, address, kind, channel, topic, status, cause, since FROM log.suppression "
        "WHERE holder_id = $1",
        people.workspace_id,
    )
    return {tuple(row) for row in rows}


async def _replayed(people: People) -> set[tuple[Any, ...]]:
    store = people.process.store
    lane = store.lane_of(people.workspace_id)
    read = await store.read_lane(lane, after=0, limit=1_000_000)
    events = [e for e in read.events if e.workspace_id == people.workspace_id and e.category in CATEGORIES]
    states: dict[Any, Any] = {}
    for event in events:
        category = CATEGORIES[event.category]
        states[event.stream] = category.fold(states.get(event.stream) or category.initial(event.stream_id), event)
    rows: list[Suppression] = []
    for stream, state in states.items():
        rows += CATEGORIES[stream.category].rows(state, people.workspace_id)
    return {
        (r.scope_id, r.holder_id, r.address, r.kind, r.channel, r.topic, r.status, r.cause, r.since) for r in rows
    }  # fmt: skip


async def run(process: Process, choices: bytes) -> tuple[int, int]:
    """(steps, those accepted). Raises Mismatch with the trace."""
    stack, model = Stack(process), Model()
    trace: list[str] = []
    accepted_steps = 0
    for step in steps_of(choices):
        accepted = await stack.do(step)
        trace.append(f"{step} {'accepted' if accepted else 'refused'}")
        if accepted:
            accepted_steps += 1
            model.happened(step)
        if wrong := await stack.compare(step, model):
            raise Mismatch("\n".join([*trace, *wrong]))
    if differs := await stack.table_differs_from_the_log():
        raise Mismatch("\n".join([*trace, differs]))
    return len(trace), accepted_steps


async def test_nothing_but_the_person_s_own_words_lets_messages_through(
    process: Process, property_report: Callable[[str], Report]
) -> None:
    report, pick = property_report("R7 full stack"), random.Random(SEED)
    for _ in range(figure(60, 2_000)):
        steps, accepted = await run(process, pick.randbytes(pick.randint(60, 160)))
        report.add({"histories": 1, "steps": steps, "accepted": accepted})
    report.finish()


async def test_a_row_that_is_not_written_is_noticed(
    process: Process, monkeypatch: pytest.MonkeyPatch, property_report: Callable[[str], Report]
) -> None:
    """The planted bug of the stack: facts are appended without the rows that enforce them."""
    from contacts import facts

    monkeypatch.setattr(facts.Decided, "suppressions", lambda _: ())
    report, pick = property_report("R7 planted: rows are not written"), random.Random(SEED)
    for number in range(1, 51):
        try:
            await run(process, pick.randbytes(120))
        except Mismatch:
            report.add({"caught in history": number})
            report.finish()
            return
    pytest.fail(f"nobody noticed (seed {SEED})")


async def test_asking_only_about_what_is_shown_is_noticed(
    process: Process, monkeypatch: pytest.MonkeyPatch, property_report: Callable[[str], Report]
) -> None:
    """The planted bug at merges: what was merged into a profile does not count."""
    from contacts.consent.reach import addresses_on
    from contacts.merge.view import view

    def shown_only(self: may_send.MaySend, channel: str, met: Any) -> list[bytes]:
        return [a.widest for a in addresses_on(channel, view(met.state, met.others), self._keys)]

    monkeypatch.setattr(may_send.MaySend, "_reached", shown_only)
    report, pick = property_report("R7 planted: only what is shown counts"), random.Random(SEED)
    for number in range(1, 201):
        try:
            await run(process, pick.randbytes(160))
        except Mismatch:
            report.add({"caught in history": number})
            report.finish()
            return
    pytest.fail(f"nobody noticed (seed {SEED})")
