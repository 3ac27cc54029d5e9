"""The contact read model is rebuilt and rolled back while people read and write: no read is wrong, and none fails."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest

from contacts.catalog import CODEC
from contacts.contact import projection
from contacts.contact.projection import ContactProjection
from contacts.contact.row import COLUMNS, Row, row_of
from contacts.contact.verification import Verification
from contacts.merge.rows import Touched
from eventstore.errors import VerificationFailed
from eventstore.rebuild import Rebuild, Rebuilt
from eventstore.store import EventStore
from tests.integration.api.conftest import Api, Tenant, running_api

#: Who write and read what they wrote, all the time; each changes a contact of their own.
PEOPLE: Final = 4
#: For a swap beside whatever else the machine does.
SWAP_MAX_MS: Final = 100

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
async def api(database: str) -> AsyncIterator[Api]:
    async with running_api(database) as running:
        yield running


@pytest.fixture
async def store(api: Api, database: str) -> AsyncIterator[EventStore]:
    """As `rollbook projection rebuild` has it, beside the API's own."""
    opened = await EventStore.open(database, codec=CODEC, keyring=api.services.store.keyring, pool_size=2)
    yield opened
    await opened.close()


async def rebuild(store: EventStore, database: str, how: str = "run") -> Rebuilt:
    work = Rebuild(store, database, ContactProjection(), verify=Verification(store))
    rebuilt: Rebuilt = await getattr(work, how)()
    return rebuilt


class Person:
    """Changes a contact, and each time reads it back in every way there is."""

    def __init__(self, tenant: Tenant, number: int) -> None:
        self._tenant = tenant
        self._pick = random.Random(number)
        self._email = f"person-{number}@example.com"
        self.reads = 0

    async def live(self) -> None:
        contact = await self._tenant.contact(email=self._email, first_name="First", external_id=self._email)
        url, turn = f"/v1/contacts/{contact['id']}", 0
        while True:
            turn += 1
            name, tag = f"Name{turn}", f"tag-{turn % 3}"
            written = await self._ask("PATCH", url, json={"first_name": name, "tags": [tag]})
            status = "active"
            if turn % 3 == 0:
                written = await self._ask("POST", f"{url}/unsubscribe", json={"channel": "email", "reason": "x"})
                status = "unsubscribed"
            if turn % 3 == 0 and turn % 2 == 0:
                proof = {"text": "Yes, again"}
                body = {"channel": "email", "reason": "asked", "proof": proof}
                written = await self._ask("POST", f"{url}/resubscribe", json=body)
                status = "active"
            since = {"Rollbook-Min-Position": written.headers["Rollbook-Position"]}
            seen = (await self._ask("GET", url, headers=since)).json()
            assert (seen["first_name"], seen["tags"]) == (name, [tag])
            listed = (await self._ask("GET", "/v1/contacts", params={"q": self._email}, headers=since)).json()
            (found,) = listed["items"]
            assert (found["id"], found["first_name"], found["tags"]) == (contact["id"], name, [tag])
            if turn % 3 == 0:
                assert found["email_status"]["status"] == status
            self.reads += 2

    async def _ask(self, method: str, url: str, **sent: Any) -> Any:
        answer = await self._tenant.owner.request(method, url, **sent)
        assert answer.status_code < 300, f"{method} {url}: {answer.status_code} {answer.text}"
        return answer


class Onlooker:
    """Looks at the totals and at pages of those who stay as they are; others only come, nobody goes."""

    def __init__(self, tenant: Tenant, staying: set[str]) -> None:
        self._tenant = tenant
        self._staying = staying
        self.reads = 0

    async def live(self) -> None:
        least = len(self._staying)
        while True:
            counts = (await self._get("/v1/contacts/counts"))["total"]
            assert counts >= least
            least = counts
            page = await self._get("/v1/contacts", q="stays", limit=100)
            assert {contact["id"] for contact in page["items"]} == self._staying
            self.reads += 2

    async def _get(self, url: str, **params: Any) -> Any:
        answer = await self._tenant.owner.get(url, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()


@contextlib.asynccontextmanager
async def lively(tenant: Tenant) -> AsyncIterator[list[Person | Onlooker]]:
    """Whatever somebody finds wrong fails the test at the end."""
    staying = {(await tenant.contact(first_name="Stays", external_id=f"s-{n}"))["id"] for n in range(20)}
    everybody: list[Person | Onlooker] = [
        *(Person(tenant, number) for number in range(PEOPLE)),
        Onlooker(tenant, staying),
    ]
    tasks = [asyncio.create_task(each.live()) for each in everybody]
    try:
        yield everybody
    finally:
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [str(each) for each in outcomes if not isinstance(each, asyncio.CancelledError)] == []


async def test_nobody_notices_that_it_is_rebuilt_and_rolled_back(api: Api, store: EventStore, database: str) -> None:
    tenant = await api.tenant()
    async with lively(tenant) as everybody:
        stalls = []
        for how in ("run", "rollback", "run", "rollback"):
            before = [each.reads for each in everybody]
            rebuilt = await rebuild(store, database, how)
            assert rebuilt.parked == 0
            stalls.append(rebuilt.stalled_ms)
            while any(each.reads < 2 + then for each, then in zip(everybody, before, strict=True)):
                await asyncio.sleep(0.01)
    reads = sum(each.reads for each in everybody)
    print(f"{reads} reads while four builds took over; the projector stood still for {[round(ms) for ms in stalls]} ms")
    assert reads > 40
    # The projector alone waits, readers do not; beside other tests it may be a little longer now and then.
    assert min(stalls) <= SWAP_MAX_MS


async def test_a_build_that_is_not_the_fold_of_the_log_is_not_swapped_in(
    api: Api, store: EventStore, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = await api.tenant()
    contacts = [await tenant.contact(email=f"c-{n}@example.com", first_name="Ann", tags=["vip"]) for n in range(30)]
    merged = await tenant.owner.post("/v1/merges", json={"primary": contacts[0]["id"], "others": [contacts[1]["id"]]})
    await tenant.owner.post(f"/v1/contacts/{contacts[2]['id']}/unsubscribe", json={"channel": "email", "reason": "x"})
    await tenant.visible(merged)

    def forgetful(contact: Touched) -> Row:
        row = list(row_of(contact.after, contact.workspace_id, contact.position))
        row[COLUMNS.index("tags")] = ()
        return tuple(row)

    with monkeypatch.context() as planted:
        planted.setattr(projection, "_row", forgetful)
        with pytest.raises(VerificationFailed) as failed:
            await rebuild(store, database)
    told = [problem for problem in failed.value.problems if "tags not as its events say" in problem]
    assert len(told) == 20, failed.value.problems
    assert "more contacts differ" in failed.value.problems[-1]
    assert not any("Ann" in problem for problem in failed.value.problems)
    page = (await tenant.owner.get("/v1/contacts", params={"limit": 100})).json()
    assert all(contact["tags"] == ["vip"] for contact in page["items"])
    assert (await rebuild(store, database)).build.state == "live"
