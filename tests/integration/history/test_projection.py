"""The history projection on real PostgreSQL: at every position it is what the contact read model was there."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest
from uuid_utils.compat import uuid7

from contacts.erasure.commands import EraseContact
from contacts.erasure.handler import ErasureHandler
from contacts.errors import Refusal
from contacts.workspace.bootstrap import bootstrap
from contacts.workspace.directory import Workspaces
from contacts.workspace.handler import WorkspaceHandler
from tests.integration.consent.test_read_model import Story
from tests.integration.history.model import FOREVER, Past, lane, open_past
from tests.property.figures import figure
from tests.support.people import METADATA, People, Process

HISTORY = "rm_history"


@pytest.fixture
async def past(database: str) -> AsyncIterator[Past]:
    async with open_past(database) as opened:
        yield opened


class LongStory(Story):
    """With limits of plans, and with erasures."""

    def __init__(self, process: Process, seed: int, *, erases: bool = False) -> None:
        super().__init__(process, seed)
        self._process = process
        self._erases = erases

    async def begin(self) -> None:
        for people in self._workspaces:
            handler = WorkspaceHandler(self._process.store, Workspaces(self._process.store))
            await bootstrap(self._process.store, handler, workspace_id=people.workspace_id)

    async def go_on(self, steps: int) -> None:
        for _ in range(steps):
            await super().go_on(1)
            chance = self._random.random()
            people = self._random.choice(self._workspaces)
            if chance < 0.12:
                await people.limit(self._random.choice((None, 0, 2, 4)))
            elif chance > 0.95 and self._erases:
                await self._erase(people)

    async def _erase(self, people: People) -> None:
        if self._contacts[people.workspace_id]:
            process = self._process
            handler = ErasureHandler(process.store, process.contacts.components, process.facts, process.keys)
            command = EraseContact(
                workspace_id=people.workspace_id, erasure_id=uuid7(), contact_id=self._pick(people),
                reason="person_asked",
            )  # fmt: skip
            with contextlib.suppress(Refusal):
                await handler.execute(command, metadata=METADATA)


@pytest.mark.parametrize("seed", range(figure(2, 60)))
async def test_at_every_position_it_is_what_the_contact_read_model_was(process: Process, past: Past, seed: int) -> None:
    story = LongStory(process, seed)
    await story.begin()
    await story.go_on(70)
    events = await lane(process)
    history = await past.build(HISTORY)
    present = await past.build("present", past.contact)
    await past.apply(history, events)
    for event in events:
        await past.apply(present, [event], projection=past.contact)
        assert await past.at(history, event.position) == await past.present(present), event
    ends = [row["to_position"] for row in await past.rows(history)]
    assert FOREVER in ends
    assert len(set(ends)) > 20


@pytest.mark.parametrize("seed", range(figure(2, 60)))
async def test_rows_are_the_same_whatever_the_batches(process: Process, past: Past, seed: int) -> None:
    story = LongStory(process, seed + 100)
    await story.begin()
    await story.go_on(90)
    events = await lane(process)
    for batch in (1, 7, 1_000):
        await past.apply(await past.build(f"batches_of_{batch}"), events, batch=batch, fresh=batch == 1_000)
    await assert_same(past, "batches_of_7", "batches_of_1")
    await assert_same(past, "batches_of_1000", "batches_of_1")


@pytest.mark.parametrize("seed", range(figure(2, 60)))
async def test_what_saw_erasures_happen_is_what_never_could_read_the_erased(
    process: Process, past: Past, seed: int
) -> None:
    story = LongStory(process, seed + 200, erases=True)
    await story.begin()
    live = await past.build(HISTORY)
    done = 0
    for _ in range(45):
        await story.go_on(2)
        events = await lane(process)
        # As it was read before the erasures to come.
        await past.apply(live, events[done:], batch=3)
        done = len(events)
    events = await lane(process)
    rebuilt = await past.build("rebuilt")
    await past.apply(rebuilt, events, batch=50)
    assert {row["takes_room"] for row in await past.rows(live, "history_gone")} <= {False}
    await assert_same(past, live, rebuilt)


async def assert_same(past: Past, build: str, other: str) -> None:
    expected = await past.content(other)
    for table, rows in (await past.content(build)).items():
        assert len(rows) == len(expected[table]), table
        for row, same in zip(rows, expected[table], strict=True):
            assert row == same, (
                table,
                {name: (value, same[name]) for name, value in row.items() if same[name] != value},
            )
