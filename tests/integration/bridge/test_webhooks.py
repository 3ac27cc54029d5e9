"""Webhooks from the API to a real HTTP server: what arrives, in what order, how it is signed, retried and given up."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from contacts.webhook.handler import WebhookHandler
from contacts_bridge.app import wants_values
from contacts_bridge.webhooks import worker as worker_module
from contacts_bridge.webhooks.deliverer import Deliverer
from contacts_bridge.webhooks.sender import Sender
from contacts_bridge.webhooks.worker import Webhooks
from eventstore.connection import connector
from eventstore.signals import LogSignals
from eventstore.store import EventStore
from tests.integration.api.conftest import Api, Tenant, running_api
from tests.integration.bridge.receiver import Got, Receiver, receiving
from tests.integration.bridge.rig import stop
from tests.support.waiting import until


@pytest.fixture(scope="module")
async def api(module_database: str) -> AsyncIterator[Api]:
    async with running_api(module_database, webhook_targets="any") as running:
        yield running


@pytest.fixture
async def tenant(api: Api) -> Tenant:
    return await api.tenant()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


@pytest.fixture
async def worker(api: Api) -> AsyncIterator[None]:
    async with delivering(api):
        yield


@contextlib.asynccontextmanager
async def delivering(api: Api, **options: Any) -> AsyncIterator[asyncio.Task[None]]:
    """The webhooks of a bridge, more eager than a real one."""
    services = api.services
    database = services.settings.database_url
    sender = Sender("any", timeout_s=2.0)
    signals = LogSignals(services.store.connect)
    # What the role may do is what the role of the bridge may do.
    store = await EventStore.open(
        database, codec=services.store.codec, keyring=services.store.keyring, role="rollbook_projector", pool_size=4
    )
    webhooks = Webhooks(
        store,
        connect=connector(database, role="rollbook_projector", application_name="test"),
        handler=WebhookHandler(services.store),
        sender=sender,
        signal_of=signals.of_lane,
        wants_values=wants_values(services.workspaces),
        **{"give_up_s": 60.0, "look_every_s": 0.05, "backoff_first_s": 0.05, **options},
    )
    tasks = [asyncio.ensure_future(signals.run()), asyncio.ensure_future(webhooks.run())]
    try:
        yield tasks[1]
    finally:
        for task in tasks:
            await stop(task)
        await sender.close()
        await store.close()


async def webhook(tenant: Tenant, receiver: Receiver, **fields: Any) -> dict[str, Any]:
    answer = await tenant.owner.post("/v1/webhooks", json={"url": receiver.url, **fields})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def contact(tenant: Tenant, edits: int = 0) -> str:
    answer = await tenant.owner.post("/v1/contacts", json={"email": f"{uuid4().hex}@example.com"})
    for number in range(edits):
        await tenant.owner.patch(f"/v1/contacts/{answer.json()['id']}", json={"first_name": f"N{number}"})
    return str(answer.json()["id"])


async def deliveries(tenant: Tenant, hook: dict[str, Any], **params: Any) -> list[dict[str, Any]]:
    answer = await tenant.owner.get(f"/v1/webhooks/{hook['id']}/deliveries", params={"limit": 1000, **params})
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


@pytest.mark.usefixtures("worker")
async def test_what_is_chosen_arrives_signed_and_in_order_per_contact(tenant: Tenant, receiver: Receiver) -> None:
    hook = await webhook(tenant, receiver, events=["contact.*"])
    await tenant.owner.patch("/v1/settings", json={"name": "Not chosen"})
    ids = await asyncio.gather(*(contact(tenant, edits=4) for _ in range(6)))
    await until(lambda: len(receiver.got) >= 30, what="all have arrived")

    versions = defaultdict(list)
    for got in receiver.got:
        assert got.signed_by(hook["secret"])
        assert got.headers["content-type"] == "application/cloudevents+json"
        assert str(got.id) == got.event["id"]
        assert "values" not in got.event["data"]
        versions[got.event["subject"]].append(got.event["version"])
    assert versions == {id_: [1, 2, 3, 4, 5] for id_ in ids}
    found = await until(lambda: deliveries(tenant, hook, outcome="delivered"))
    assert {each["outcome"] for each in found} == {"delivered"}


@pytest.mark.usefixtures("worker")
async def test_what_fails_is_sent_again_and_holds_up_its_own_contact_only(tenant: Tenant, receiver: Receiver) -> None:
    stuck, free, refusals = await contact(tenant), await contact(tenant), 3

    def answer(got: Any) -> str:
        nonlocal refusals
        if got.event["subject"] == stuck and refusals:
            refusals -= 1
            return "500 Internal Server Error"
        return "200 OK"

    receiver.answer = answer
    hook = await webhook(tenant, receiver, events=["contact.details_changed"])
    for id_ in (stuck, free):
        await tenant.owner.patch(f"/v1/contacts/{id_}", json={"first_name": "A"})
        await tenant.owner.patch(f"/v1/contacts/{id_}", json={"first_name": "B"})
    await until(lambda: len(receiver.got) >= 7, what="four refused or repeated, and three more")

    order = [(got.event["subject"], got.event["version"]) for got in receiver.got]
    assert [version for subject, version in order if subject == stuck] == [2, 2, 2, 2, 3]
    assert [version for subject, version in order if subject == free] == [2, 3]
    assert order.index((free, 3)) < order.index((stuck, 3))
    failed = await until(lambda: deliveries(tenant, hook, outcome="failed"))
    assert {(each["status"], each["reason"]) for each in failed} == {(500, "status 500")}


async def test_after_a_restart_it_goes_on_where_it_stood(api: Api, tenant: Tenant, receiver: Receiver) -> None:
    hook = await webhook(tenant, receiver, events=["contact.created"])
    async with delivering(api):
        first = await contact(tenant)
        await until(lambda: receiver.got)
        await until(lambda: deliveries(tenant, hook))
    missed = [await contact(tenant) for _ in range(3)]
    async with delivering(api):
        await until(lambda: len(receiver.got) >= 4)
    assert [got.event["subject"] for got in receiver.got] == [first, *missed]


async def test_of_two_workers_one_delivers_and_the_other_takes_over(
    api: Api, tenant: Tenant, receiver: Receiver
) -> None:
    await webhook(tenant, receiver, events=["contact.created"])
    async with delivering(api) as first, delivering(api):
        await contact(tenant)
        await until(lambda: receiver.got)
        await stop(first)
        await contact(tenant)
        await until(lambda: len(receiver.got) >= 2)
    assert len({got.id for got in receiver.got}) == len(receiver.got) == 2


async def test_long_failure_disables_and_says_so_and_enabling_goes_on(
    api: Api, tenant: Tenant, receiver: Receiver
) -> None:
    receiver.answer = lambda _: "503 Service Unavailable"
    hook = await webhook(tenant, receiver, events=["contact.created"])
    address = f"/v1/webhooks/{hook['id']}"
    async with delivering(api, give_up_s=0.3):
        missed = await contact(tenant)

        async def disabled() -> dict[str, Any]:
            shown: dict[str, Any] = (await tenant.owner.get(address)).json()
            return shown if shown["status"] == "disabled" else {}

        shown = await until(disabled, what="the webhook is disabled")
        assert (shown["disabled_by"], shown["failing_since"] is None) == ("failing", False)
        receiver.answer = lambda _: "204 No Content"
        before = len(receiver.got)
        await tenant.owner.patch(address, json={"enabled": True})
        await until(lambda: len(receiver.got) > before)
    assert receiver.got[-1].event["subject"] == missed


@pytest.mark.usefixtures("worker")
async def test_a_receiver_that_is_gone_is_left_alone_at_once(tenant: Tenant, receiver: Receiver) -> None:
    receiver.answer = lambda _: "410 Gone"
    hook = await webhook(tenant, receiver)

    async def cause() -> Any:
        return (await tenant.owner.get(f"/v1/webhooks/{hook['id']}")).json()["disabled_by"]

    await contact(tenant)
    assert await until(cause) == "gone"
    assert len({got.id for got in receiver.got}) <= len(receiver.got)
    refused = await tenant.owner.post(f"/v1/webhooks/{hook['id']}/test")
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:rollbook:problem:webhook-disabled")


@pytest.mark.usefixtures("worker")
async def test_redirects_are_not_followed(tenant: Tenant, receiver: Receiver) -> None:
    receiver.answer = lambda got: (
        "204 No Content" if "secret" in got.path else f"302 Found\r\nLocation: {receiver.url}/secret"
    )
    hook = await webhook(tenant, receiver, events=["contact.created"])
    await contact(tenant)
    failed = await until(lambda: deliveries(tenant, hook, outcome="failed"))
    assert failed[0]["reason"] == "redirects are not followed (302)"
    assert {got.path for got in receiver.got} == {"/in"}


@pytest.mark.usefixtures("worker")
async def test_both_secrets_sign_while_one_replaces_the_other(tenant: Tenant, receiver: Receiver) -> None:
    hook = await webhook(tenant, receiver, events=["contact.created"])
    rotated = (await tenant.owner.post(f"/v1/webhooks/{hook['id']}/rotate-secret")).json()
    assert rotated["secret"] != hook["secret"]

    async def signed_twice() -> bool:
        await contact(tenant)
        return any(got.signed_by(hook["secret"]) and got.signed_by(rotated["secret"]) for got in receiver.got)

    await until(signed_twice, every_s=0.1)
    shown = (await tenant.owner.get(f"/v1/webhooks/{hook['id']}")).text
    assert "whsec_" not in shown


@pytest.mark.usefixtures("worker")
async def test_a_test_reaches_its_webhook_alone(tenant: Tenant, receiver: Receiver) -> None:
    hook = await webhook(tenant, receiver, events=["contact.created"])
    async with receiving() as other:
        everything = await webhook(tenant, other)
        answer = await tenant.owner.post(f"/v1/webhooks/{hook['id']}/test")
        assert answer.status_code == 202
        await until(lambda: receiver.of("webhook.test_requested"))
        await contact(tenant)
        await until(lambda: other.of("contact.created"))
        assert not other.of("webhook.test_requested")
    assert everything["events"] == []


@pytest.mark.usefixtures("worker")
async def test_a_replay_sends_the_same_ids_once_more(tenant: Tenant, receiver: Receiver) -> None:
    before = await contact(tenant)
    hook = await webhook(tenant, receiver, events=["contact.created"])
    after = await contact(tenant)
    await until(lambda: receiver.got)
    answer = await tenant.owner.post(f"/v1/webhooks/{hook['id']}/replay", json={"after": "0.0"})
    assert answer.status_code == 202
    await until(lambda: len(receiver.got) >= 3)
    assert [got.event["subject"] for got in receiver.got] == [after, before, after]
    assert receiver.got[0].id == receiver.got[2].id


@pytest.mark.usefixtures("worker")
async def test_values_are_sent_where_the_workspace_asks_for_them(tenant: Tenant, receiver: Receiver) -> None:
    await tenant.owner.patch("/v1/settings", json={"publish_values": True})
    await webhook(tenant, receiver, events=["contact.created"])
    await contact(tenant)
    await until(lambda: receiver.got)
    assert "email" in receiver.got[0].event["data"]["values"]


@pytest.mark.usefixtures("worker")
async def test_nothing_is_sent_after_a_webhook_was_deleted(tenant: Tenant, receiver: Receiver) -> None:
    hook = await webhook(tenant, receiver, events=["contact.created"])
    deleted = await tenant.owner.delete(f"/v1/webhooks/{hook['id']}")
    assert deleted.status_code == 204
    headers = {"Rollbook-Min-Position": deleted.headers["Rollbook-Position"]}
    listed = await tenant.owner.get("/v1/webhooks", headers=headers)
    assert listed.json()["items"] == []
    async with receiving() as other:
        await webhook(tenant, other, events=["contact.created"])
        await contact(tenant)
        await until(lambda: other.got)
    assert not receiver.got
    assert (await tenant.owner.get(f"/v1/webhooks/{hook['id']}")).status_code == 404


class Forgetful(Deliverer):
    """Saves how far it has read instead of how far it has delivered."""

    @property
    def _position(self) -> int:
        return self._read_to


@pytest.mark.parametrize("deliverer", [Deliverer, Forgetful])
async def test_over_restarts_and_refusals_nothing_is_missed_or_out_of_order(
    api: Api, tenant: Tenant, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, deliverer: type[Deliverer]
) -> None:
    monkeypatch.setattr(worker_module, "Deliverer", deliverer)
    rng = random.Random(11)
    accepted: list[Got] = []
    refusals: dict[UUID, int] = defaultdict(lambda: rng.randrange(4))

    def answer(got: Got) -> str:
        # So many times each; and of some nobody knows whether they arrived, for the worker is stopped meanwhile.
        if refusals[got.id] > 0:
            refusals[got.id] -= 1
            return "500 Internal Server Error"
        accepted.append(got)
        return "204 No Content"

    receiver.answer = answer
    await webhook(tenant, receiver, events=["contact.*"])
    ids = [await contact(tenant, edits=3) for _ in range(8)]
    for _ in range(4):
        async with delivering(api):
            before = len(receiver.got)
            # The forgetful one may have nothing left to send.
            with contextlib.suppress(AssertionError):
                await until(lambda before=before: len(receiver.got) > before + 3, timeout_s=0.5)
            await asyncio.sleep(rng.uniform(0, 0.15))

    async def complete() -> bool:
        return {(got.event["subject"], got.event["version"]) for got in accepted} >= {
            (id_, version) for id_ in ids for version in (1, 2, 3, 4)
        }

    async with delivering(api):
        if deliverer is Forgetful:
            with pytest.raises(AssertionError):
                await until(complete, timeout_s=1)
        else:
            await until(complete, timeout_s=20)
            firsts: dict[str, list[int]] = defaultdict(list)
            for got in accepted:
                if got.event["version"] not in firsts[got.event["subject"]]:
                    firsts[got.event["subject"]].append(got.event["version"])
            assert firsts == {id_: [1, 2, 3, 4] for id_ in ids}


@pytest.mark.usefixtures("worker")
async def test_a_receiver_that_never_answers_is_waited_for_in_vain(tenant: Tenant) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    answer = await tenant.owner.post("/v1/webhooks", json={"url": url, "events": ["contact.created"]})
    await contact(tenant)
    failed = await until(lambda: deliveries(tenant, answer.json(), outcome="failed"))
    assert failed[0]["reason"] == "no answer in time"
    await tenant.owner.patch(f"/v1/webhooks/{answer.json()['id']}", json={"enabled": False})
    server.close()


async def test_bad_webhooks_are_refused_where_they_are_wrong(tenant: Tenant) -> None:
    for body, pointer in (
        ({"url": "ftp://example.com"}, "/url"),
        ({"url": "https://user:secret@example.com"}, "/url"),
        ({"url": "https://example.com/#x"}, "/url"),
        ({"url": "https:///x"}, "/url"),
        ({"url": "https://example.com", "events": ["contact.teleported"]}, "/events/0"),
    ):
        answer = await tenant.owner.post("/v1/webhooks", json=body)
        assert answer.status_code == 422, (body, answer.text)
        assert answer.json()["errors"][0]["pointer"] == pointer
