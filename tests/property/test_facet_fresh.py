"""L4: after every write the facet index counts what SQL counts, however far each read model is.

Random histories of merges, deletions, lists, opt-outs and late activity, projected in batches of any size; activity and
engagement go at their own pace. Planted bugs: what changed of contacts, or happened to them, is not read again.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final

import asyncpg
import pytest

from contacts.activity.projection import ActivityProjection
from contacts.catalog import CODEC
from contacts.contact.filtering import Filter
from contacts.contact.projection import ContactProjection
from contacts.engagement.projection import EngagementProjection
from contacts.facet.index import FacetIndex
from contacts.facet.kept import Copy
from contacts.history.projection import HistoryProjection
from contacts.smartsearch.fields import Schema
from contacts.smartsearch.moment import Moment
from contacts.smartsearch.parse import parse
from contacts.smartsearch.searching import Search, SearchQueries
from eventstore import builds
from eventstore.envelope import RecordedEvent
from eventstore.projection import Projection
from eventstore.store import EventStore
from tests.property.figures import SEED, figure
from tests.property.segment_histories import START, History
from tests.support.people import KEYRING, Process
from tests.support.report import Report

HISTORIES: Final = figure(6, 1_000)
STEPS: Final = 40
#: Asked again and again of one history, beside leaves on activity.
FILTERS: Final = 15
#: Profiles and their history go together; the others do not wait for them.
TOGETHER: Final[tuple[Projection, ...]] = (ContactProjection(), HistoryProjection(CODEC))
OTHERS: Final[tuple[Projection, ...]] = (ActivityProjection(), EngagementProjection())

Events = Sequence[RecordedEvent[Any]]


class Mismatch(AssertionError):
    """The index says otherwise than SQL."""


class Rig:
    """Read models that are moved by hand, and both ways to count."""

    def __init__(self, process: Process, connection: asyncpg.Connection, readers: asyncpg.Pool) -> None:
        self.process = process
        self.connection = connection
        self.plain = SearchQueries(readers, b"sixteen bytes ok")
        self.index = FacetIndex(readers, process.store, bytes_max=2**30, contacts_min=0)

    async def move(self, projections: Sequence[Projection], events: Events) -> None:
        """Applies these events, checkpoint and all."""
        if not events:
            return
        async with self.connection.transaction():
            for each in projections:
                projection = each.bound(KEYRING)
                await builds.use_schema(self.connection, f"rm_{projection.name}")
                wanted = [event for event in events if event.type in projection.types]
                if wanted:
                    await projection.apply(self.connection, wanted, fresh=False)
                await self.connection.execute(
                    "UPDATE projector.checkpoints SET position = $2 WHERE name = $1",
                    projection.name,
                    events[-1].position,
                )


@pytest.fixture(scope="module")
async def rig(module_database: str) -> AsyncIterator[Rig]:
    store = await EventStore.open(module_database, codec=CODEC, keyring=KEYRING, pool_size=4)
    connection = await asyncpg.connect(
        module_database, server_settings={"role": "rollbook_projector", "jit": "off", "TimeZone": "UTC"}
    )
    readers = await asyncpg.create_pool(
        module_database, min_size=1, max_size=2, server_settings={"role": "rollbook_reader", "jit": "off"}
    )
    await builds.ensure_builds(connection, [*TOGETHER, *OTHERS])
    rig = Rig(Process.on(store, module_database), connection, readers)
    async with rig.index:
        yield rig
    await readers.close()
    await connection.close()
    await store.close()


async def check(rig: Rig, seed: int) -> Counter[str]:
    """What was compared. Raises Mismatch with the trace."""
    chosen = random.Random(seed)
    head = await rig.process.store.head(0)
    history = History(rig.process, seed, START)
    events = await history.run(STEPS)
    leaves = [each for each in history._leaves() if "activity" in each]
    filters = leaves + [history._filter(2) for _ in range(FILTERS)]
    schema = Schema(segments={each: parse({"all": []}, Schema()) for each in history.segments})
    nodes = [parse(each, schema) for each in filters]
    moment = Moment(now=history.now, time_zone="UTC")
    done = dict.fromkeys((TOGETHER, *((other,) for other in OTHERS)), 0)
    counts: Counter[str] = Counter(histories=1)
    workspace_id = history.people.workspace_id
    assert events[0].position > head
    while min(done.values()) < len(events):
        for group, start in done.items():
            end = min(len(events), start + chosen.choice((0, 1, 3, 10, 30)))
            await rig.move(group, events[start:end])
            done[group] = end
        for number in chosen.sample(range(len(filters)), 6):
            search = Search(
                filter=Filter(deleted=chosen.random() < 0.2), node=nodes[number], sort="-changed_at", moment=moment,
                schema=schema, definitions=schema.segments, asked=b"",
            )  # fmt: skip
            expected = await rig.plain.count(workspace_id, search)
            counted = await count(rig, history, search)
            if counted is None:
                await rig.index.loaded(workspace_id)
                counted = await count(rig, history, search)
            counts["counts"] += 1
            if counted != expected:
                told = "\n".join(history.trace)
                raise Mismatch(f"seed {seed}: {counted} instead of {expected}: {filters[number]}, {done}\n{told}")
            counts["that found somebody"] += expected > 0
    rig.index.drop(workspace_id)
    return counts


async def count(rig: Rig, history: History, search: Search) -> int | None:
    return await rig.index.count(
        history.people.workspace_id, search.filter, search.node, moment=search.moment, definitions=search.definitions,
        at_least=0,
    )  # fmt: skip


async def test_it_counts_what_sql_counts_after_every_write(rig: Rig, property_report: Callable[[str], Report]) -> None:
    report = property_report("L4 exact counts")
    chosen = random.Random(SEED)
    counts: Counter[str] = Counter()
    for _ in range(HISTORIES):
        counts += await check(rig, chosen.getrandbits(32))
    assert counts["that found somebody"] > counts["counts"] // 10
    report.add(dict(sorted(counts.items())))
    report.finish()


async def _nothing(*_: object) -> None:
    """Does not look."""


@pytest.mark.parametrize("bug", ["_change_fields", "_change_events"])
async def test_a_planted_bug_is_found(rig: Rig, bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Copy, bug, _nothing)
    chosen = random.Random(SEED)
    for _ in range(20):
        try:
            await check(rig, chosen.getrandbits(32))
        except Mismatch:
            return
    pytest.fail("nobody noticed")
