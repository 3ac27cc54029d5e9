"""Activity that is kept no longer: gone from the read model by whole months, for good, and still in the log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg
import pytest

from contacts.activity.projection import ActivityProjection
from contacts.activity.retention import RetentionOf, prune
from eventstore.rebuild import Rebuild
from tests.integration.activity.conftest import NOW, WAIT_S, Desk, clicked

MONTH: Final = 31 * 24 * 60
#: The desk believes that it is in March.
TODAY: Final = NOW


def keeping(**days: int) -> RetentionOf:
    """By workspace; the others keep all."""

    async def of(workspace_id: UUID) -> int | None:
        return days.get(workspace_id.hex)

    return of


@pytest.fixture
async def projector(module_database: str) -> asyncpg.Connection:
    connection = await asyncpg.connect(module_database, server_settings={"role": "rollbook_projector"})
    yield connection
    await connection.close()


async def history(desk: Desk, months: int = 6) -> UUID:
    """A click in each of the last months, and one now."""
    contact = await desk.create(external_id="kept")
    await desk.send(*(clicked(f"m-{n}", -n * MONTH, id=contact) for n in range(months)))
    assert await desk.ids(contact) == [f"m-{n}" for n in range(months)]
    return contact


async def test_what_is_older_goes_by_whole_months_and_stays_away(
    desk: Desk, projector: asyncpg.Connection, module_database: str
) -> None:
    contact = await history(desk)
    other = desk.beside(UUID(int=99))
    others = await history(other)
    keeps_60_days = keeping(**{desk.workspace.id.hex: 60})
    assert await prune(projector, keeps_60_days, TODAY) == 3
    # Of the month in which sixty days ago was, all is kept.
    assert await desk.ids(contact) == ["m-0", "m-1", "m-2"]
    assert len(await other.ids(others)) == 6
    assert len(await desk.recorded(contact)) == 6
    # What comes late is recorded, and no longer shown.
    assert (await desk.send(clicked("late", -5 * MONTH, id=contact), clicked("new", 1, id=contact))).counts == {
        "recorded": 2
    }
    assert await desk.ids(contact) == ["new", "m-0", "m-1", "m-2"]
    assert await prune(projector, keeps_60_days, TODAY) == 0
    # Neither does a rebuild bring it back, and the comparison with what was kept holds.
    rebuilt = await Rebuild(desk.store, module_database, ActivityProjection()).run()
    await desk.progress.wait("activity", 0, rebuilt.position, WAIT_S)
    assert await desk.ids(contact) == ["new", "m-0", "m-1", "m-2"]
    assert len(await other.ids(others)) == 6


async def test_partitions_that_nobody_has_anything_in_are_dropped(desk: Desk, projector: asyncpg.Connection) -> None:
    contact = await desk.create(external_id="alone")
    minute = int((datetime(2021, 5, 5, tzinfo=UTC) - NOW) / timedelta(minutes=1))
    await desk.send(clicked("old", minute, id=contact), clicked("new", id=contact))
    assert len(await desk.ids(contact)) == 2
    partition = "SELECT to_regclass('rm_activity.activity_2021_05') IS NOT NULL"
    assert await projector.fetchval(partition)
    assert await prune(projector, keeping(**{desk.workspace.id.hex: 365}), TODAY) == 1
    assert not await projector.fetchval(partition)
    assert await desk.ids(contact) == ["new"]
    # And made again where somebody else has something in it.
    other = desk.beside(UUID(int=98))
    contact = await other.create(external_id="late")
    await other.send(clicked("very old", minute, id=contact))
    assert await other.ids(contact) == ["very old"]
