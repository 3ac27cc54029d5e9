"""R19: concurrent edits never lose a change silently, with `If-Match` and without.

Clients of two processes with caches of their own edit a few contacts at once. With `If-Match` they replace a value by
one that names the value it replaces, so that every acknowledged write must be found on the way back from the last one,
and no two may have replaced the same. Without, each client writes a field of its own, beside all the others: what it
was last told must stand. The planted bug is an append that does not check the version.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any, Final
from uuid import uuid4

import pytest
from msgspec.structs import replace

from contacts_api.app import create_app
from contacts_api.server import listen, serving
from contacts_api.services import open_services
from eventstore.envelope import ANY_VERSION, NO_STREAM
from eventstore.store import EventStore
from tests.chaos.support.report import FULL, Report, figure
from tests.integration.api.conftest import Api, Tenant, running_api
from tests.support.wire import Reply, Wire

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(0 if FULL else 400)]

OPERATIONS: Final = figure(5_000, 100_000)
PLANTED_OPERATIONS_MAX: Final = 5_000
CLIENTS: Final = 16
CONTACTS: Final = 10
#: What everybody writes, with `If-Match`. An address keeps its text as it is.
SHARED: Final = "assignee"


class Ledger:
    """What was acknowledged, and whether it can all be so."""

    def __init__(self) -> None:
        #: By contact: version -> (token, the one it replaced), of writes with If-Match.
        self.guarded: dict[str, dict[int, tuple[str, str]]] = {}
        #: By contact and client: what was last written without.
        self.plain: dict[str, dict[int, str]] = {}
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []

    def check(self, id_: str, shown: dict[str, Any]) -> None:
        """`shown` is the contact in the end."""
        chain: list[str] = []
        replaced: dict[str, str] = {}
        for version, (token, before) in sorted(self.guarded[id_].items()):
            if before in replaced:
                self.wrong.append(f"{id_}: {replaced[before]} was replaced unseen by {token} (version {version})")
            replaced[before] = token
            chain.append(token)
        last = _tokens(shown[SHARED])[0]
        if chain and last != chain[-1]:
            self.wrong.append(f"{id_}: ends with {last}, acknowledged last was {chain[-1]}")
        for client, value in self.plain[id_].items():
            if shown["attributes"].get(f"field_{client}") != value:
                found = shown["attributes"].get(f"field_{client}")
                self.wrong.append(f"{id_}: client {client} wrote {value} last, found {found}")


def _tokens(text: str | None) -> tuple[str, str]:
    token, _, before = (text or "none<").partition("<")
    return token, before


class Client:
    """Edits contacts by what it saw of them last, which others may have changed since."""

    def __init__(self, number: int, wire: Wire, key: str, ledger: Ledger, seed: int) -> None:
        self._number, self._wire, self._key, self._ledger = number, wire, key, ledger
        self._pick = random.Random(seed)
        self._seen: dict[str, tuple[int, str | None]] = {}
        self._position = "0.0"

    async def work(self, contacts: list[str], operations: int) -> None:
        for number in range(operations):
            id_ = self._pick.choice(contacts)
            kind = self._pick.random()
            if id_ not in self._seen or kind < 0.2:
                await self._look(id_)
            elif kind < 0.6:
                await self._replace(id_, f"c{self._number}n{number}")
            else:
                await self._write(id_, f"n{number}")

    async def _look(self, id_: str) -> None:
        reply = await self._send("GET", id_)
        self._ledger.counts["reads"] += 1
        self._keep(id_, reply)

    async def _replace(self, id_: str, token: str) -> None:
        if self._pick.random() < 0.7:
            await self._look(id_)
        version, value = self._seen[id_]
        before = _tokens(value)[0]
        reply = await self._send("PATCH", id_, {SHARED: f"{token}<{before}"}, {"If-Match": f'"{version}"'})
        if reply.status == 412:
            self._ledger.counts["refused for their version"] += 1
            del self._seen[id_]
            return
        self._ledger.counts["written with If-Match"] += 1
        self._keep(id_, reply)
        self._ledger.guarded[id_][reply.json()["version"]] = (token, before)

    async def _write(self, id_: str, value: str) -> None:
        reply = await self._send("PATCH", id_, {"attributes": {f"field_{self._number}": value}})
        self._ledger.counts["written without"] += 1
        self._ledger.plain[id_][self._number] = value
        self._keep(id_, reply)

    def _keep(self, id_: str, reply: Reply) -> None:
        contact = reply.json()
        version, _ = self._seen.get(id_, (0, None))
        if contact["version"] < version:
            self._ledger.wrong.append(f"{id_}: client {self._number} saw version {version}, then {contact['version']}")
        self._seen[id_] = contact["version"], contact[SHARED]

    async def _send(self, method: str, id_: str, body: Any = None, headers: dict[str, str] | None = None) -> Reply:
        sent = {"Rollbook-Min-Position": self._position} if method == "GET" else headers
        reply = await self._wire.send(method, f"/v1/contacts/{id_}", body, key=self._key, headers=sent)
        assert reply.status in (200, 412), reply.text
        self._position = max(self._position, reply.headers.get("rollbook-position", "0.0"), key=_number)
        return reply


def _number(position: str) -> int:
    return int(position.partition(".")[2])


@pytest.fixture(scope="module")
async def api(module_database: str) -> AsyncIterator[Api]:
    async with running_api(module_database) as running:
        yield running


@pytest.fixture(scope="module")
async def wires(api: Api) -> AsyncIterator[list[Wire]]:
    """To two processes in all but name: services of their own on one database."""
    sock = listen("127.0.0.1", 0)
    async with open_services(api.services.settings) as other, serving(create_app(other), sock, grace_s=1):
        ports = int(api.url.rpartition(":")[2]), sock.getsockname()[1]
        wires = [Wire(port, CLIENTS) for port in ports]
        yield wires
        for wire in wires:
            await wire.close()


async def run(api: Api, wires: list[Wire], operations: int, seed: int) -> Ledger:
    tenant = await api.tenant()
    ledger = Ledger()
    contacts = await settle(tenant)
    ledger.guarded, ledger.plain = {id_: {} for id_ in contacts}, {id_: {} for id_ in contacts}
    clients = [
        Client(number, wires[number % len(wires)], tenant.owner_key, ledger, seed + number) for number in range(CLIENTS)
    ]
    await asyncio.gather(*(client.work(contacts, operations // CLIENTS) for client in clients))
    # A command is answered with what the log holds.
    for id_ in contacts:
        answer = await tenant.owner.patch(f"/v1/contacts/{id_}", json={"first_name": "last"})
        ledger.check(id_, answer.json())
    return ledger


async def settle(tenant: Tenant) -> list[str]:
    for number in range(CLIENTS):
        defined = await tenant.owner.post("/v1/attributes", json={"key": f"field_{number}", "type": "text"})
        assert defined.status_code == 201, defined.text
    return [(await tenant.contact())["id"] for _ in range(CONTACTS)]


async def test_no_change_is_lost_silently(
    api: Api, wires: list[Wire], chaos_report: Callable[[str], Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    report = chaos_report("R19")
    ledger = await run(api, wires, OPERATIONS, report.seed)
    assert ledger.wrong == [], f"seed {report.seed}"
    assert ledger.counts["refused for their version"] > OPERATIONS / 50, "the clients hardly met"
    report.add({"operations": sum(ledger.counts.values()), **ledger.counts, "lost": 0})
    report.add({"planted bug caught, changes lost": await lost_without_the_check(api, wires, report.seed, monkeypatch)})
    report.finish()


async def lost_without_the_check(api: Api, wires: list[Wire], seed: int, monkeypatch: pytest.MonkeyPatch) -> int:
    real = EventStore.append

    async def unchecked(self: EventStore, write: Any) -> Any:
        if any(each.stream.category != "contact" or each.expected_version == NO_STREAM for each in write.streams):
            return await real(self, write)
        streams = tuple(replace(each, expected_version=ANY_VERSION) for each in write.streams)
        return await real(self, replace(write, streams=streams, idempotency_key=str(uuid4())))

    monkeypatch.setattr(EventStore, "append", unchecked)
    ledger = await run(api, wires, PLANTED_OPERATIONS_MAX // 5, seed)
    assert ledger.wrong, f"nobody noticed that versions are not checked (seed {seed})"
    return len(ledger.wrong)
