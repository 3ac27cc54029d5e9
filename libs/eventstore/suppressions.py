"""Reads what may not be sent to which address, as the last commit left it. Written by the append; no rule is here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from eventstore.appender import SQL
from eventstore.gathering import Gathering

if TYPE_CHECKING:
    from eventstore.store import EventStore


class SuppressionRow(msgspec.Struct, frozen=True, gc=False):
    """One row of `log.suppression`; what its fields mean stands at `envelope.Suppression`."""

    #: Which of the addresses asked for, counting from 1.
    number: int
    kind: str
    channel: str
    topic: str
    holder_id: UUID
    status: str | None
    cause: str | None
    since: datetime | None
    #: Of the append that wrote it, in the lane of its holder.
    position: int


class Suppressions(msgspec.Struct, frozen=True):
    """All rows of the addresses asked for, in one snapshot of the log."""

    #: Where the lane of the workspace stood in that snapshot.
    position: int
    rows: list[SuppressionRow]


Question = tuple[UUID, UUID, tuple[bytes, ...]]
"""Workspace, everybody, addresses."""
QUESTIONS_MAX: Final = 64


async def find_suppressions(
    store: EventStore, workspace_id: UUID, everybody: UUID, addresses: Sequence[bytes]
) -> Suppressions:
    """Rows that bind the workspace or `everybody`. Right for whatever was acknowledged before the call."""
    lane = store.lane_of(workspace_id)
    place, *found = await store.pool.fetch(SQL["suppressions"], lane, workspace_id, everybody, addresses)
    return Suppressions(place["position"] or 0, [SuppressionRow(*row) for row in found])


class SuppressionReader:
    """`find_suppressions` for many callers with a few addresses each: their questions share queries."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._questions: Gathering[Question, Suppressions] = Gathering(self._find, most=QUESTIONS_MAX)

    async def find(self, workspace_id: UUID, everybody: UUID, addresses: Sequence[bytes]) -> Suppressions:
        """As `find_suppressions`."""
        return await self._questions.ask((workspace_id, everybody, tuple(addresses)))

    async def _find(self, questions: list[Question]) -> dict[Question, Suppressions]:
        answers: dict[Question, Suppressions] = {}
        for bound in {question[:2] for question in questions}:
            asked = [question for question in questions if question[:2] == bound]
            together = [address for *_, addresses in asked for address in addresses]
            found = await find_suppressions(self._store, *bound, together)
            first = 0
            for question in asked:
                last = first + len(question[2])
                own = [replace(row, number=row.number - first) for row in found.rows if first < row.number <= last]
                answers[question] = Suppressions(found.position, own)
                first = last
        return answers
