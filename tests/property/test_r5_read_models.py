"""R5: at every checkpoint the read models are the fold of the log, and a rebuilt one is what was kept.

Random histories of commands over HTTP, a workspace each, many at once, while two projectors with batches of any size
race and are killed, robbed and cut off. Between the steps of a history all its rows in all read models are taken in one
snapshot, and compared with a fold that was written apart, up to the checkpoint of each. In the end everything is
compared again, rebuilt, and compared row by row.

Planted bugs, each in a replay of the same events: a collection that is forgotten at an unmerge, an absorbed id that
leads to one who stands for nothing, a total that does not move at a restore, a status that does not follow its address.
"""

from __future__ import annotations

import asyncio
import base64
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import asyncpg
import pytest
from msgspec.structs import replace
from uuid_utils.compat import uuid7

from contacts.catalog import PROJECTIONS
from contacts.contact import events as e
from contacts.contact import projection, standings, state
from contacts.duplicate import candidates
from contacts.duplicate.traits import traits_of
from contacts.engagement import state as engagement
from contacts.merge import rows
from contacts.workspace.bootstrap import bootstrap
from contacts_api.app import create_app
from contacts_api.server import listen, serving
from contacts_api.services import Services, open_services
from eventstore import builds
from eventstore.connection import connector
from eventstore.projection import Projection
from eventstore.rebuild import Rebuild
from servicekit.settings import Settings
from tests.property.figures import FULL, SEED, figure
from tests.property.fold_tables import TABLES, WITHOUT_FOLD, found_rows
from tests.property.http_histories import History
from tests.property.read_models import FOLDED, Comparer, Log, Mismatch, projectors_in_trouble, replay, same_rows
from tests.support.report import Report
from tests.support.waiting import until
from tests.support.wire import Wire

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(0 if FULL else 600),
    # A projector that is killed has no time to close what it was just opening.
    pytest.mark.filterwarnings("ignore:unclosed connection:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

HISTORIES: Final = figure(300, 10_000)
#: Histories of one world: more than one is for full figures, so that no log grows without end.
ROUND: Final = 300
#: Of each history, those that begin it included.
COMMANDS: Final = 60
BEGINNING: Final = 7
AT_ONCE: Final = 100
GROUP: Final = 10
#: Comparisons of a history while it goes on; one more comes at its end.
LOOKS: Final = 1
CAUGHT_UP_S: Final = 120
#: Workspaces whose events replays go through.
REPLAYED: Final = 100
SMALL: Final = 15
#: Without those that are made of others, which no replay makes alone.
ALONE: Final = tuple(each for each in PROJECTIONS if each.name != "segment")


@dataclass
class World:
    """An API, its read models in trouble, and what was done."""

    services: Services
    database: str
    port: int
    admin: asyncpg.Pool
    comparer: Comparer
    workspaces: list[UUID]
    counts: Counter[str]

    def events(self, workspaces: int) -> list[Any]:
        """All that the log holds of some workspaces; blacklists of others close addresses in them, too."""
        chosen = set(self.workspaces[:workspaces])
        recorded = self.comparer.log.recorded
        return [r for r in recorded if r.workspace_id in chosen or r.category.startswith("suppression")]


@pytest.fixture(scope="module")
async def world(module_database: str) -> AsyncIterator[World]:
    """After the first round of histories."""
    async with played(module_database, range(min(HISTORIES, ROUND))) as world:
        yield world


@asynccontextmanager
async def played(database: str, histories: range) -> AsyncIterator[World]:
    """A world after these histories, which were compared on the way and in the end."""
    master_key = base64.b64encode(SEED.to_bytes(32, "big")).decode()
    settings = Settings(database_url=database, master_key=master_key)
    connection = await connector(database, role="rollbook_projector", application_name="test")()
    await builds.ensure_builds(connection, PROJECTIONS)
    await connection.close()
    sock = listen("127.0.0.1", 0)
    async with (
        asyncpg.create_pool(database, min_size=1, max_size=4) as admin,
        open_services(settings) as services,
        serving(create_app(services), sock, grace_s=1),
    ):
        comparer = Comparer(admin, Log(services.store), services.store.keyring.hmac)
        made = World(services, database, sock.getsockname()[1], admin, comparer, [], Counter())
        began = time.perf_counter()
        await play(made, histories)
        made.counts["seconds"] = int(time.perf_counter() - began)
        yield made


async def play(world: World, histories: range) -> None:
    wire = Wire(world.port, AT_ONCE)
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with gate:
            await live(world, wire, number)

    store = world.services.store
    try:
        async with projectors_in_trouble(store, world.database, world.admin, SEED, world.counts):
            async with asyncio.TaskGroup() as group:
                for number in histories:
                    group.create_task(one(number))
            head = await store.head(0)
            await until(lambda: world.comparer.reached(head), timeout_s=CAUGHT_UP_S, what="the projectors catch up")
    finally:
        await wire.close()
    for workspace in world.workspaces:
        await world.comparer.compare(workspace)


async def live(world: World, wire: Wire, number: int) -> None:
    services = world.services
    made = await bootstrap(services.store, services.workspace_handler, workspace_id=uuid7())
    assert made.new_key is not None
    history = History(wire, made.new_key, made.workspace_id, SEED + number, number // GROUP)
    looks = set(random.Random(SEED + number).sample(range(10, COMMANDS - BEGINNING), LOOKS))
    await history.begin()
    for step in range(COMMANDS - BEGINNING):
        await history.step()
        if step in looks:
            await world.comparer.compare(made.workspace_id)
    world.workspaces.append(made.workspace_id)
    world.counts += history.counts


# -- rebuilt ----------------------------------------------------------------------------------------------------------


async def test_read_models_are_the_fold_at_every_checkpoint_and_when_rebuilt(
    world: World, create_database: Callable[[], str], property_report: Callable[[str], Report]
) -> None:
    report = property_report("R5")
    report.add(await rebuilt(world))
    for first in range(ROUND, HISTORIES, ROUND):
        async with played(create_database(), range(first, min(HISTORIES, first + ROUND))) as other:
            report.add(await rebuilt(other))
    assert report.counts["behind the log"] > HISTORIES / 10, "the projectors were never caught in the middle"
    assert report.counts["given edits"]
    report.finish()


async def rebuilt(world: World) -> Counter[str]:
    """What was counted, once every read model was rebuilt and compared row by row."""
    tables = sum([await rebuild(world, each) for each in FOLDED])
    assert tables == sum(map(len, TABLES.values())) + len(WITHOUT_FOLD), "a table has no fold here"
    return Counter(
        {"histories": len(world.workspaces), **world.counts, **world.comparer.counts, "tables rebuilt": tables}
    )


async def rebuild(world: World, each: Projection) -> int:
    done = await Rebuild(world.services.store, world.database, each).run()
    kept = f"rm_{each.name}_b{done.build.build - 1}"
    return await same_rows(world.admin, each, kept, done.build.schema_name)


@pytest.mark.parametrize("projection", ALONE, ids=lambda each: each.name)
async def test_in_what_batches_events_come_does_not_matter(world: World, projection: Projection) -> None:
    """Also of those that have no fold here."""
    async with world.admin.acquire() as connection:
        events = world.events(SMALL)
        for schema, batch in (("one", 3), ("other", 10_000)):
            await replay(connection, schema, projection.bound(world.services.store.keyring), events, batch)
        assert await same_rows(connection, projection, "one", "other")


# -- planted bugs -----------------------------------------------------------------------------------------------------


def _tags_are_forgotten_at_an_unmerge(monkeypatch: pytest.MonkeyPatch) -> None:
    real = state._EVOLVE[e.ContactReinstated]
    monkeypatch.setitem(state._EVOLVE, e.ContactReinstated, lambda *given: replace(real(*given), tags=()))


def _an_absorbed_id_leads_to_one_who_stands_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stays with the first that absorbed it, whatever becomes of that one."""
    monkeypatch.setattr(rows._Kin, "_root", lambda self, id_: self._own[id_].absorbed_into or id_)


def _a_restore_moves_no_total(monkeypatch: pytest.MonkeyPatch) -> None:
    real = projection._count

    async def careless(connection: Any, touched: Any) -> None:
        await real(connection, [c for c in touched if not (c.before and c.before.deleted and not c.after.deleted)])

    monkeypatch.setattr(projection, "_count", careless)


def _a_status_does_not_follow_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nobody(*_: Any) -> list[Any]:
        return []

    monkeypatch.setattr(standings, "_concerned", nobody)


def _a_profile_shows_what_one_of_its_contacts_did(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engagement, "together", lambda tallies: next(iter(tallies)))


def _who_is_deleted_stays_among_those_with_the_same_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "_traits", lambda contact: None if contact is None else traits_of(contact))


async def replayed(world: World, batch: int, name: str = "contact") -> int:
    """How many rows a replay of a read model made; all of them compared. Raises Mismatch."""
    (found,) = (each for each in FOLDED if each.name == name)
    model = found.bound(world.services.store.keyring)
    made = 0
    async with world.admin.acquire() as connection:
        await replay(connection, "replayed", model, world.events(REPLAYED), batch)
        for workspace in world.workspaces[:REPLAYED]:
            tables = await found_rows(connection, model.name, workspace, "replayed")
            world.comparer.check(workspace, model.name, world.comparer.log.read_to, tables)
            made += sum(map(len, tables.values()))
    return made


async def test_without_a_bug_a_replay_is_the_fold(world: World) -> None:
    for model in ("contact", "engagement", "duplicate"):
        assert await replayed(world, 30, model), model


@pytest.mark.parametrize(
    ("plant", "model"),
    [
        (_tags_are_forgotten_at_an_unmerge, "contact"),
        (_an_absorbed_id_leads_to_one_who_stands_for_nothing, "contact"),
        (_a_restore_moves_no_total, "contact"),
        (_a_status_does_not_follow_its_address, "contact"),
        (_a_profile_shows_what_one_of_its_contacts_did, "engagement"),
        (_who_is_deleted_stays_among_those_with_the_same_address, "duplicate"),
    ],
)
async def test_a_planted_bug_is_caught(
    world: World,
    plant: Callable[[pytest.MonkeyPatch], None],
    model: str,
    monkeypatch: pytest.MonkeyPatch,
    property_report: Callable[[str], Report],
) -> None:
    report = property_report(f"R5 planted: {plant.__name__.strip('_').replace('_', ' ')}")
    plant(monkeypatch)
    with pytest.raises(Mismatch) as caught:
        await replayed(world, 30, model)
    print(str(caught.value).splitlines()[1][:200])
    report.add({"caught in histories": min(REPLAYED, len(world.workspaces))})
    report.finish()
