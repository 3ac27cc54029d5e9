"""R10: erased means unrecoverable. Canary persons are erased, then every byte that is left is searched for them."""

from __future__ import annotations

import asyncio
import contextlib
import random
import string
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import msgspec
import pytest

from contacts.catalog import PROJECTIONS
from contacts.contact.projection import ContactProjection
from contacts_bridge.broker import Broker
from contacts_bridge.definitions import HELD
from contacts_bridge.inbox.erasing import Erasing, Wanted
from eventstore.rebuild import Rebuild
from eventstore.sweep import sweep
from eventstore.verify import verify_chain
from rollbook.embedded.binaries import postgres_bin
from rollbook.embedded.nats import Nats
from rollbook.embedded.postgres import Postgres
from servicekit.dead_letters import STREAM as DEAD
from tests.chaos.support.letters import Mail, letters_about, mail
from tests.chaos.support.report import FULL, Report, figure
from tests.chaos.support.traces import Traces, checkpoint, forms
from tests.integration.api.conftest import Tenant, running_api
from tests.integration.bridge.rig import Rig
from tests.support.waiting import until
from tests.support.wire import Reply, Wire

T = TypeVar("T")

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(0 if FULL else 400)]

PERSONS = figure(100, 10_000)
#: Requests at the same time.
AT_ONCE = 16
SURVIVORS = 3
READ_MODELS = [projection.name for projection in PROJECTIONS]
#: That of every canary: phones need not be unique.
PHONE = "+48229876543"
#: Dead and held.
LETTERS_OF_NOBODY = 4


class Town:
    """A whole installation with canary persons and others, to be stopped and searched."""

    def __init__(self, tenant: Tenant, wire: Wire, rig: Rig, postgres: Postgres, mail: Mail, mark: str) -> None:
        self.tenant = tenant
        self.wire = wire
        self.rig = rig
        self.postgres = postgres
        self.mail = mail
        self.mark = mark
        self.canaries: list[str] = []
        self.survivors: list[str] = []
        self.keys: list[bytes] = []

    async def settle(self, persons: int) -> None:
        """Everything that keeps personal data gets some of each canary."""
        await self.send("PATCH", "/v1/settings", {"unknown_contacts": "hold"})
        about = [letter for number in range(persons) for letter in letters_about(self.mark, number, PHONE)]
        await self.mail.arrive([*about, *letters_about("nobody", 0, "+48220000000")])
        assert await self.mail.count(DEAD) == 3 * (persons + 1)
        assert await self.mail.count(HELD) == persons + 1
        self.canaries += await at_once(self._settle_one(number) for number in range(persons))
        pair = [(await self.tenant.contact(**self._person(persons + number)))["id"] for number in range(2)]
        merged = await self.send("POST", "/v1/merges", {"primary": pair[0], "others": pair[1:]})
        self.canaries += pair
        self.survivors += await at_once(self._stays(number) for number in range(SURVIVORS))
        await self.seen(merged)

    async def _settle_one(self, number: int) -> str:
        made = (await self.send("POST", "/v1/contacts", self._person(number))).json()
        url = f"/v1/contacts/{made['id']}"
        await self.send("PATCH", url, {"last_name": f"{self.mark}ska {number}"})
        await self.send("POST", f"{url}/tags", {"tags": [f"{self.mark}-tag-{number}"]})
        said = {"id": f"{self.mark}-{number}", "source": "shop", "type": "web.viewed", "time": "2026-03-01T12:00:00Z"}
        seen = {**said, "contact": {"id": made["id"]}, "data": {"name": f"{self.mark} page"}}
        await self.send("POST", "/v1/activity", {"items": [seen]})
        told = {**seen, "id": f"{self.mark}-told-{number}"}
        await self.mail.arrive([("web.viewed", msgspec.json.encode(told))])
        await self.send("POST", f"{url}/block", {"reason": f"{self.mark} was rude"})
        blacklist = {"channel": "email", "reason": f"{self.mark} asked for it"}
        await self.send("POST", f"{url}/blacklist", blacklist)
        return str(made["id"])

    async def _stays(self, number: int) -> str:
        made = await self.send("POST", "/v1/contacts", {"email": f"stays-{number}@example.com"})
        return str(made.json()["id"])

    async def send(self, method: str, path: str, body: Any) -> Reply:
        reply = await self.wire.send(method, path, body, key=self.tenant.owner_key)
        assert reply.status < 300, reply.text
        return reply

    async def seen(self, reply: Reply) -> None:
        """Waits until every read model shows what was done."""
        position = int(reply.headers["rollbook-position"].partition(".")[2])
        async with self.superuser() as connection:

            async def reached() -> bool:
                behind = await connection.fetchval(
                    "SELECT count(*) FROM projector.checkpoints c JOIN projector.projections p USING (name, build)"
                    " WHERE p.state = 'live' AND c.position < $1", position
                )  # fmt: skip
                return not behind

            await until(reached, timeout_s=120, what="every read model is there")

    def _person(self, number: int) -> dict[str, Any]:
        mark = self.mark
        return {
            "email": f"{mark}.{number}@example.com",
            "first_name": f"Łucja {mark} é",
            "phone": PHONE,
            "external_id": f"{mark}-{number}",
            "address": {"street": f"ul. {mark.upper()} {number}", "city": "Łódź"},
            "channels": [{"kind": "telegram", "token": f"{mark}{number}"}],
        }

    async def erase(self, *, letters_go: bool = True) -> None:
        async with self.superuser() as connection:
            rows = await connection.fetch(
                "SELECT wrapped FROM keys.subject_keys WHERE subject_id = ANY ($1::uuid[])", self.canaries
            )
        self.keys = [row["wrapped"] for row in rows]
        assert len(self.keys) == len(self.canaries)
        body = {"confirm": True, "reason": "person_asked"}
        replies = await at_once(self.send("POST", f"/v1/contacts/{each}/erase", body) for each in self.canaries)
        await self.rig.caught_up(timeout_s=120)
        for reply in replies[-AT_ONCE:]:
            await self.seen(reply)
        if letters_go:
            await self.mail.left(LETTERS_OF_NOBODY)

    @contextlib.asynccontextmanager
    async def superuser(self) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(self.postgres.url())
        try:
            yield connection
        finally:
            await connection.close()

    async def tables(self) -> dict[str, str]:
        """Tables and indexes by file."""
        async with self.superuser() as connection:
            rows = await connection.fetch(
                "SELECT pg_relation_filepath(oid) AS file, oid::regclass::text AS name FROM pg_class"
                " WHERE relkind IN ('r', 'i', 't', 'm')"
            )
        return {row["file"]: row["name"] for row in rows}

    async def traces(self) -> Counter[str]:
        """Of the persons in PostgreSQL's folder, which stays open meanwhile."""
        async with self.superuser() as connection:
            await checkpoint(connection)
        return await asyncio.to_thread(Traces(marks(self.mark)).find, self.postgres.data)


def by_place(when: str, traces: Counter[str]) -> dict[str, int]:
    in_wal = sum(hits for file, hits in traces.items() if file.startswith("pg_wal/"))
    return {f"in tables {when}": traces.total() - in_wal, f"in WAL {when}": in_wal}


def marks(mark: str) -> list[bytes]:
    return [form for text in (mark, PHONE.removeprefix("+48")) for form in forms(text)]


@contextlib.asynccontextmanager
async def town(postgres: Postgres, nats: Nats, mark: str, erasing: type[Erasing] = Erasing) -> AsyncIterator[Town]:
    async with running_api(postgres.url()) as api, contextlib.AsyncExitStack() as stack:
        tenant = await api.tenant()
        rig = Rig(api.services.store, nats, stack)
        rig.start(rig.relay())
        wire = Wire(int(api.url.rpartition(":")[2]), AT_ONCE)
        stack.push_async_callback(wire.close)
        settings = msgspec.structs.replace(api.services.settings, nats_url=nats.url)
        box = await stack.enter_async_context(mail(settings, rig.store, tenant.workspace_id, erasing))
        yield Town(tenant, wire, rig, postgres, box, mark)


async def at_once(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """All of it, as much at the same time as there are connections."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each) for each in work]
    return [task.result() for task in tasks]


async def dumped(postgres: Postgres, folder: Path) -> Path:
    """What `pg_dump` writes of the whole database, as text."""
    file = folder / "dump.sql"
    program = postgres_bin(None) / "pg_dump"
    process = await asyncio.create_subprocess_exec(program, "--dbname", postgres.url(), "--file", file)
    assert await process.wait() == 0
    assert file.stat().st_size > 100_000
    return file


async def test_nothing_of_an_erased_person_can_be_found_in_any_byte_that_is_left(
    private_postgres: Callable[..., Postgres],
    private_nats: Callable[..., Nats],
    chaos_report: Callable[[str], Report],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    report = chaos_report("R10")
    mark = "zq" + "".join(random.Random(report.seed).choices(string.ascii_lowercase, k=10))
    postgres, nats = (await asyncio.to_thread(private_postgres), await asyncio.to_thread(private_nats))
    async with town(postgres, nats, mark) as place:
        await place.settle(PERSONS)
        async with place.superuser() as connection:
            await connection.execute("ANALYZE")
        report.add({"persons": PERSONS, **by_place("before", await place.traces())})
        assert report.counts["in tables before"] > PERSONS, "the search finds nothing where there is something"
        # The build that this one replaces is kept, with everything in it.
        await Rebuild(place.rig.store, postgres.url(), PROJECTIONS[0]).run()
        await place.erase()
        report.add(by_place("right after", await place.traces()))
        async with place.superuser() as connection:
            await connection.execute("VACUUM")
            report.add(by_place("after VACUUM", await place.traces()))
            await sweep(connection, READ_MODELS)
        await everything_else_is_there(place)
        tables = await place.tables()
        dump = await dumped(postgres, tmp_path)
    await asyncio.to_thread(postgres.stop)
    await asyncio.to_thread(nats.stop)
    left = Traces([*marks(mark), *place.keys]).find(postgres.data, postgres.log, nats.folder, dump)
    report.add({"left": left.total()})
    assert not left, {tables.get(file, file): hits for file, hits in left.items()}
    assert mark not in caplog.text.lower()
    for planted in (with_letters_nobody_looks_at, with_a_projection_that_does_not_hear_of_erasures):
        again = await asyncio.to_thread(private_postgres), await asyncio.to_thread(private_nats)
        found = await planted(*again, mark, monkeypatch)
        assert found, planted.__name__
        report.add({"found of planted bugs": found})
    report.finish()


async def everything_else_is_there(place: Town) -> None:
    report = await verify_chain(place.rig.store.pool, 0)
    assert (report.first_bad_position, report.reason) == (None, None)
    listed = (await place.tenant.owner.get("/v1/contacts")).json()
    assert {item["id"] for item in listed["items"]} == set(place.survivors)
    assert (await place.tenant.owner.get("/v1/contacts/counts")).json()["total"] == SURVIVORS
    replies = await at_once(
        place.wire.send("GET", f"/v1/contacts/{canary}", key=place.tenant.owner_key) for canary in place.canaries
    )
    assert {reply.status for reply in replies} == {410}
    verdicts = await place.tenant.owner.post(
        "/v1/may-send", json={"channel": "email", "addresses": [f"{place.mark}.0@example.com"]}
    )
    assert verdicts.json()["items"][0]["allowed"] is False, "an objection ended with the person it was of"


class Deaf(Erasing):
    """Hears of erasures and looks at no letters."""

    async def take_away(self, broker: Broker, wanted: Sequence[Wanted]) -> None:
        pass


async def with_letters_nobody_looks_at(postgres: Postgres, nats: Nats, mark: str, _: pytest.MonkeyPatch) -> int:
    async with town(postgres, nats, mark, Deaf) as place:
        await place.settle(2)
        await place.erase(letters_go=False)
    await asyncio.to_thread(nats.stop)
    return Traces(marks(mark)).find(nats.folder).total()


async def with_a_projection_that_does_not_hear_of_erasures(
    postgres: Postgres, nats: Nats, mark: str, monkeypatch: pytest.MonkeyPatch
) -> int:
    monkeypatch.setattr(ContactProjection, "types", ContactProjection.types - {"contact.erased"})
    async with town(postgres, nats, mark) as place:
        await place.settle(2)
        await place.erase()
        async with place.superuser() as connection:
            await sweep(connection, READ_MODELS)
    await asyncio.to_thread(postgres.stop)
    return Traces(marks(mark)).find(Path(postgres.data)).total()
