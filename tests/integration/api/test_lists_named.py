"""Lists that a contact is created or edited with: only those that exist and are open, over HTTP and NATS."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from uuid_utils.compat import uuid7

from contacts.contact.handler import ContactHandler
from contacts.contact.input import NewContactInput, create_contact
from contacts.contact.state import Contact
from contacts.errors import InvalidInput
from contacts.execution import Together
from contacts.lists.handler import ListHandler
from contacts.lists.joining import Joining
from eventstore.aggregate import Aggregates
from eventstore.envelope import Metadata, Stream
from tests.integration.api.conftest import Api, Tenant


async def make(tenant: Tenant, name: str, *, archived: bool = False) -> str:
    made = await tenant.owner.post("/v1/lists", json={"name": name})
    assert made.status_code == 201, made.text
    if archived:
        assert (await tenant.owner.delete(f"/v1/lists/{made.json()['id']}")).status_code == 200
    return str(made.json()["id"])


def faults(answer: httpx2.Response) -> list[tuple[str, str]]:
    assert answer.status_code == 422, answer.text
    return [(fault["pointer"], fault["detail"].partition("; expected")[0]) for fault in answer.json()["errors"]]


@pytest.fixture
async def lists(tenant: Tenant, api: Api) -> dict[str, str]:
    return {
        "open": await make(tenant, "Open"),
        "archived": await make(tenant, "Archived", archived=True),
        "foreign": await make(await api.tenant(), "Foreign"),
        "unknown": str(uuid4()),
    }


async def test_a_new_contact_is_refused_lists_that_take_none(tenant: Tenant, lists: dict[str, str]) -> None:
    body = {"external_id": str(uuid4()), "lists": list(lists.values())}
    wanted = [
        ("/lists/1", f"is an archived list: {lists['archived']}"),
        ("/lists/2", f"is no list: {lists['foreign']}"),
        ("/lists/3", f"is no list: {lists['unknown']}"),
    ]
    refused = await tenant.owner.post("/v1/contacts", json=body)
    assert faults(refused) == wanted
    assert f"POST /v1/lists/{lists['archived']}/restore" in refused.json()["errors"][0]["detail"]
    by_key = f"/v1/contacts/by/external_id/{body['external_id']}"
    assert faults(await tenant.owner.put(by_key, json=body)) == wanted
    assert (await tenant.owner.post("/v1/contacts", json={**body, "lists": [lists["open"]]})).status_code == 201
    assert faults(await tenant.owner.put(by_key, json=body)) == wanted


async def test_an_edit_is_refused_lists_that_the_contact_is_not_on_already(
    tenant: Tenant, lists: dict[str, str]
) -> None:
    later = await make(tenant, "Archived later")
    contact = await tenant.contact(email=f"{uuid4()}@example.com", lists=[later])
    path = f"/v1/contacts/{contact['id']}"
    assert (await tenant.owner.delete(f"/v1/lists/{later}")).status_code == 200
    kept = await tenant.owner.patch(path, json={"lists": [later, lists["open"]]})
    assert (kept.status_code, sorted(kept.json()["lists"])) == (200, sorted([later, lists["open"]]))
    assert faults(await tenant.owner.patch(path, json={"lists": [later, lists["unknown"]]})) == [
        ("/lists/1", f"is no list: {lists['unknown']}")
    ]
    assert (await tenant.owner.patch(path, json={"lists": []})).json()["lists"] == []
    assert faults(await tenant.owner.patch(path, json={"lists": [later]})) == [
        ("/lists/0", f"is an archived list: {later}")
    ]


async def test_a_repeat_is_answered_as_the_first_time_after_its_list_was_archived(tenant: Tenant) -> None:
    list_id, key = await make(tenant, "Soon gone"), {"Idempotency-Key": str(uuid4())}
    body = {"external_id": str(uuid4()), "lists": [list_id]}
    first = await tenant.owner.post("/v1/contacts", json=body, headers=key)
    await tenant.owner.delete(f"/v1/lists/{list_id}")
    again = await tenant.owner.post("/v1/contacts", json=body, headers=key)
    assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])


async def test_a_list_that_another_process_archived_takes_nobody(api: Api, tenant: Tenant) -> None:
    """What this process knows of a list may be behind; the append finds out."""
    list_id = UUID(await make(tenant, "Archived elsewhere"))
    store, workspace = api.services.store, await api.services.workspaces.get(tenant.workspace_id)
    contacts = ContactHandler(store, beside=Together(Joining(ListHandler(store))))

    async def create() -> Contact:
        new = NewContactInput(external_id=str(uuid4()), lists=[list_id])
        outcome = await contacts.execute(create_contact(new, workspace, contact_id=uuid7()), metadata=Metadata())
        return outcome.contact

    assert (await create()).lists == (list_id,)
    await tenant.owner.delete(f"/v1/lists/{list_id}")
    with pytest.raises(InvalidInput, match="is an archived list"):
        await create()
    await tenant.owner.post(f"/v1/lists/{list_id}/restore")
    assert (await create()).lists == (list_id,)


async def test_a_list_is_read_once_however_many_contacts_name_it(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_id = await make(tenant, "Known")
    read: list[Stream] = []
    load = Aggregates._load

    async def counted(self: Aggregates[Any], streams: list[Stream]) -> dict[Stream, tuple[Any, int]]:
        read.extend(streams)
        return await load(self, streams)

    monkeypatch.setattr(Aggregates, "_load", counted)
    for lists in ([], [list_id], [list_id]):
        answer = await tenant.owner.post("/v1/contacts", json={"external_id": str(uuid4()), "lists": lists})
        assert answer.status_code == 201
    assert [stream.category for stream in read] in ([], ["list"])
