"""How contacts stand in the read model: what the log says, in whatever order and portions the events are applied."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from itertools import groupby
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from contacts.consent import commands as c
from contacts.contact.commands import DeleteContact, RestoreContact
from contacts.contact.projection import ContactProjection
from contacts.contact.state import Contact
from contacts.errors import Refusal
from contacts.merge.commands import UnmergeContacts
from contacts.suppression import commands as s
from contacts.workspace.bootstrap import bootstrap
from contacts.workspace.directory import Workspaces
from contacts.workspace.handler import WorkspaceHandler
from eventstore.envelope import RecordedEvent
from tests.integration.contact.model import LIVE, Model, open_model
from tests.support.people import FORM, METADATA, People, Process

OTHER = "rm_contact_other"
DECODE = msgspec.msgpack.Decoder(Contact).decode


@pytest.fixture
async def model(database: str) -> AsyncIterator[Model]:
    async with open_model(database) as opened:
        yield opened


@pytest.fixture
async def own_process(database: str, open_process: Callable[[str], Any]) -> Process:
    """On a log of this test's own, so that the whole lane can be replayed."""
    process: Process = await open_process(database)
    return process


class Story:
    """Random things that happen to a few people of two workspaces who share addresses."""

    def __init__(self, process: Process, seed: int) -> None:
        self._random = random.Random(seed)
        self._workspaces = [People(process, uuid4()) for _ in range(2)]
        self._emails = [f"{name}{tag}@gmail.com" for name in ("ann", "bob", "eve") for tag in ("", "+x")]
        self._phones = ["+4930901820", "+4930901821"]
        self._contacts: dict[UUID, list[UUID]] = {people.workspace_id: [] for people in self._workspaces}
        self._merges: list[tuple[People, UUID]] = []

    async def go_on(self, steps: int) -> None:
        for _ in range(steps):
            people = self._random.choice(self._workspaces)
            contacts = self._contacts[people.workspace_id]
            step = self._random.choice(
                (self._create, *[self._say] * 5, self._edit, self._merge, self._unmerge, self._delete)
            )
            try:
                await (self._create(people) if len(contacts) < 3 else step(people))
            except Refusal:
                continue

    async def expected(self) -> dict[UUID, tuple[str | None, str | None, Any]]:
        """By the log: statuses and standing of every contact that stands for itself."""
        found = {}
        for people in self._workspaces:
            for id_ in self._contacts[people.workspace_id]:
                contact = await people.process.contacts.load(people.workspace_id, id_)
                if contact.id == id_:
                    standing = await people.standing(id_)
                    email, phone = standing.email, standing.phone
                    found[id_] = (
                        email and email.status,
                        phone and phone.status,
                        standing if standing.recorded else None,
                    )
        return found

    def _pick(self, people: People) -> UUID:
        return self._random.choice(self._contacts[people.workspace_id])

    async def _create(self, people: People) -> None:
        source = self._random.choice(("api", "subscription_form"))
        contact = await people.create(
            self._random.choice(self._emails), self._random.choice([None, *self._phones]), source=source,
            double_opt_in=frozenset({"subscription_form"}),
        )  # fmt: skip
        self._contacts[people.workspace_id].append(contact)

    async def _say(self, people: People) -> None:
        channel = self._random.choice(("email", "email", "sms", "phone"))
        command, fields = self._random.choice(
            (
                (c.WithdrawConsent, {}),
                (c.UnsubscribeFromAll, {}),
                (c.GrantConsent, {"proof": FORM, "opens": True}),
                (c.ReportSpam, {"reason": "complained"}),
                (c.ClearSpam, {"reason": "by mistake", "opens": True}),
                (c.ConfirmDoubleOptIn, {"proof": FORM, "opens": True}),
                (c.UnsubscribeCategory, {"category": "weekly"}),
                (s.BlacklistAddress, {"reason": "bounced"}),
                *[(s.UnblacklistAddress, {"reason": "works again", "opens": True})] * 4,
            )
        )
        await people.ask(self._pick(people), command, channel, **fields)

    async def _edit(self, people: People) -> None:
        await people.edit(self._pick(people), email=self._random.choice(self._emails))

    async def _merge(self, people: People) -> None:
        self._merges.append((people, await people.merge(self._pick(people), self._pick(people))))

    async def _unmerge(self, _people: People) -> None:
        if self._merges:
            people, merge_id = self._merges.pop(self._random.randrange(len(self._merges)))
            command = UnmergeContacts(workspace_id=people.workspace_id, merge_id=merge_id)
            await people.process.merges.execute(command, metadata=METADATA)

    async def _delete(self, people: People) -> None:
        for command in (DeleteContact, RestoreContact)[: self._random.choice((1, 2))]:
            asked = command(workspace_id=people.workspace_id, contact_id=self._pick(people), reason="test")
            await people.process.contacts.execute(asked, metadata=METADATA)


async def lane(process: Process) -> list[RecordedEvent[Any]]:
    batch = await process.store.read_lane(0, after=0, limit=1_000_000, types=ContactProjection.types)
    return batch.events


async def content(model: Model, schema: str) -> dict[str, list[dict[str, Any]]]:
    """Everything but which event wrote a row last: of a merged profile that depends on the order, as in a rebuild."""
    tables = await model.content(schema)
    for row in tables["contact"]:
        del row["position"]
    return tables


async def statuses(model: Model, schema: str = LIVE) -> dict[UUID, tuple[str | None, str | None, Any]]:
    return {
        row["contact_id"]: (row["email_status"], row["phone_status"], DECODE(row["state"]).standing)
        for row in await model.rows("contact", schema)
    }


async def counts_of_rows(model: Model, schema: str = LIVE) -> Counter[tuple[Any, ...]]:
    return Counter(
        (row["workspace_id"], row["deleted_at"] is not None, row["email_status"] or "", row["phone_status"] or "")
        for row in await model.rows("contact", schema)
    )


@pytest.mark.parametrize("seed", range(6))
async def test_rows_say_what_the_log_says_in_any_order_and_portions(
    own_process: Process, model: Model, seed: int
) -> None:
    story = Story(own_process, seed)
    await story.go_on(120)
    events = await lane(own_process)
    await model.apply(events, batch=random.Random(seed).choice((1, 3, 40, 1_000)))
    expected = await story.expected()
    assert await statuses(model) == expected
    assert len({repr(standing) for _, _, standing in expected.values()}) > 1
    counted = {
        (r["workspace_id"], r["deleted"], r["email_status"], r["phone_status"]): r["contacts"]
        for r in await model.rows("contact_count")
    }
    assert counted == await counts_of_rows(model)
    # As a rebuild loads: everything of one id at a time, ids in any order.
    await model.add_build(OTHER)
    by_id = [
        list(group)
        for _, group in groupby(sorted(events, key=lambda e: (e.stream_id, e.position)), lambda e: e.stream_id)
    ]
    random.Random(seed).shuffle(by_id)
    for group in by_id:
        await model.apply(group, schema=OTHER)
    assert await content(model, OTHER) == await content(model, LIVE)


@pytest.mark.parametrize("seed", range(4))
async def test_the_newest_present_contacts_are_beyond_the_limit_in_any_order(
    own_process: Process, model: Model, seed: int
) -> None:
    pick = random.Random(seed)
    people = People(own_process, uuid4())
    await bootstrap(own_process.store, WorkspaceHandler(own_process.store, Workspaces(own_process.store)),
                    workspace_id=people.workspace_id)  # fmt: skip
    contacts: list[UUID] = []
    limit: int | None = None
    for _ in range(50):
        step = pick.random()
        if step < 0.5 or len(contacts) < 3:
            contacts.append(await people.create(f"{uuid4().hex}@example.com"))
        elif step < 0.6:
            limit = pick.choice((None, 0, 2, 5, 9))
            await people.limit(limit)
        elif step < 0.7:
            await people.unsubscribe(pick.choice(contacts))
        else:
            with contextlib.suppress(Refusal):
                if step < 0.8:
                    await people.merge(*pick.sample(contacts, 2))
                else:
                    command = pick.choice((DeleteContact, RestoreContact))
                    asked = command(workspace_id=people.workspace_id, contact_id=pick.choice(contacts), reason="x")
                    await own_process.contacts.execute(asked, metadata=METADATA)
    events = await lane(own_process)
    await model.apply(events, batch=pick.choice((1, 4, 1_000)))
    rows = [row for row in await model.rows() if row["deleted_at"] is None]
    rows.sort(key=lambda row: (row["created_at"], row["contact_id"]))
    over = {row["contact_id"] for row in rows[limit:]} if limit is not None else set()
    assert {row["contact_id"] for row in await model.rows("contact_over")} == over
    for row in await model.rows():
        standing = DECODE(row["state"]).standing
        assert (standing is not None and standing.over_limit) == (row["contact_id"] in over)
        if row["email_status"] != "unsubscribed":
            assert row["email_status"] == ("over_limit" if row["contact_id"] in over else "active")
    counted = {
        (r["workspace_id"], r["deleted"], r["email_status"], r["phone_status"]): r["contacts"]
        for r in await model.rows("contact_count")
    }
    assert counted == await counts_of_rows(model)
    await model.add_build(OTHER)
    ordered = sorted(events, key=lambda event: (event.stream_id, event.position))
    by_id = [list(group) for _, group in groupby(ordered, lambda event: event.stream_id)]
    pick.shuffle(by_id)
    for group in by_id:
        await model.apply(group, schema=OTHER)
    assert await content(model, OTHER) == await content(model, LIVE)


async def test_applying_again_changes_nothing(own_process: Process, model: Model) -> None:
    story = Story(own_process, 7)
    await story.go_on(60)
    events = await lane(own_process)
    await model.apply(events)
    before = await model.content()
    await model.apply(events[len(events) // 2 :])
    assert await model.content() == before
