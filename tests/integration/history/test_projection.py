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


@pytest.mark.parametrize("seed", range(4))
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


@pytest.mark.parametrize("seed", range(4))
async def test_rows_are_the_same_whatever_the_batches(process: Process, past: Past, seed: int) -> None:
    story = LongStory(process, seed + 100)
    await story.begin()
    await story.go_on(90)
    events = await lane(process)
    expected = None
    for batch in (1, 7, 1_000):
        schema = await past.build(f"batches_of_{batch}")
        await past.apply(schema, events, batch=batch, fresh=batch == 1_000)
        content = await past.content(schema)
        expected = expected or content
        for table, rows in content.items():
            for row, other in zip(rows, expected[table], strict=True):
                assert row == other, (batch, table, [(n, v, other[n]) for n, v in row.items() if other[n] != v])
