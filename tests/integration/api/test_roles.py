"""Who may do what: every route for every role, as this page has it, and what a service's scopes open."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID, uuid4

import pytest

from contacts.workspace.permissions import GRANTABLE, Action
from contacts_api.endpoint import PUBLIC, Endpoint
from contacts_api.routes import ENDPOINTS
from tests.integration.api.conftest import ROLES, Api, Tenant

#: By hand, so that a change of the domain's table is seen here. O, M, A and U are owner, manager, agent and auditor.
MATRIX: Final = {
    ("POST", "/v1/contacts"): "OMA",
    ("GET", "/v1/contacts"): "OMAU",
    ("GET", "/v1/contacts/counts"): "OMAU",
    ("GET", "/v1/contacts/{contact_id}"): "OMAU",
    ("PATCH", "/v1/contacts/{contact_id}"): "OMA",
    ("DELETE", "/v1/contacts/{contact_id}"): "OMA",
    ("PUT", "/v1/contacts/by/{by}/{value}"): "OMA",
    ("POST", "/v1/contacts/{contact_id}/restore"): "OMA",
    ("POST", "/v1/contacts/{contact_id}/erase"): "O",
    ("GET", "/v1/erasures/{erasure_id}"): "OU",
    ("POST", "/v1/contacts/{contact_id}/block"): "OMA",
    ("POST", "/v1/contacts/{contact_id}/unblock"): "OMA",
    ("POST", "/v1/contacts/{contact_id}/tags"): "OMA",
    ("DELETE", "/v1/contacts/{contact_id}/tags/{tag}"): "OMA",
    ("POST", "/v1/contacts/{contact_id}/channels"): "OMA",
    ("DELETE", "/v1/contacts/{contact_id}/channels/{kind}/{token}"): "OMA",
    ("GET", "/v1/lists"): "OMAU",
    ("POST", "/v1/lists"): "OM",
    ("GET", "/v1/lists/{list_id}"): "OMAU",
    ("PATCH", "/v1/lists/{list_id}"): "OM",
    ("DELETE", "/v1/lists/{list_id}"): "OM",
    ("POST", "/v1/lists/{list_id}/restore"): "OM",
    ("GET", "/v1/lists/{list_id}/members"): "OMAU",
    ("POST", "/v1/lists/{list_id}/members"): "OM",
    ("DELETE", "/v1/lists/{list_id}/members"): "OM",
    ("POST", "/v1/contacts/{contact_id}/lists/{list_id}"): "OMA",
    ("DELETE", "/v1/contacts/{contact_id}/lists/{list_id}"): "OMA",
    ("GET", "/v1/contacts/{contact_id}/segments"): "OMAU",
    ("POST", "/v1/contacts/{contact_id}/explain"): "OMAU",
    ("POST", "/v1/contacts/search"): "OMAU",
    ("GET", "/v1/segments"): "OMAU",
    ("POST", "/v1/segments"): "OM",
    ("GET", "/v1/segments/{segment_id}"): "OMAU",
    ("PATCH", "/v1/segments/{segment_id}"): "OM",
    ("DELETE", "/v1/segments/{segment_id}"): "OM",
    ("POST", "/v1/segments/{segment_id}/restore"): "OM",
    ("GET", "/v1/segments/{segment_id}/members"): "OMAU",
    ("POST", "/v1/segments/{segment_id}/members"): "OMAU",
    ("GET", "/v1/segments/{segment_id}/members/count"): "OMAU",
    ("GET", "/v1/segments/{segment_id}/diff"): "OMAU",
    ("GET", "/v1/segments/{segment_id}/explain/{contact_id}"): "OMAU",
    ("GET", "/v1/contacts/{contact_id}/history"): "OMAU",
    ("GET", "/v1/contacts/{contact_id}/provenance"): "OMAU",
    ("GET", "/v1/contacts/{contact_id}/diff"): "OMAU",
    ("GET", "/v1/contacts/{contact_id}/activity"): "OMAU",
    ("POST", "/v1/activity"): "OMA",
    ("POST", "/v1/contacts/{contact_id}/blacklist"): "OMA",
    ("POST", "/v1/contacts/{contact_id}/unblacklist"): "OM",
    ("POST", "/v1/contacts/{contact_id}/unsubscribe"): "OMA",
    ("POST", "/v1/contacts/{contact_id}/resubscribe"): "OM",
    ("POST", "/v1/contacts/{contact_id}/report-spam"): "OMA",
    ("POST", "/v1/contacts/{contact_id}/clear-spam"): "OM",
    ("POST", "/v1/contacts/{contact_id}/confirm"): "OM",
    ("POST", "/v1/contacts/{contact_id}/consents"): "OMA",
    ("POST", "/v1/merges/preview"): "OM",
    ("POST", "/v1/merges"): "OM",
    ("GET", "/v1/merges/{merge_id}"): "OMAU",
    ("POST", "/v1/merges/{merge_id}/unmerge/preview"): "OM",
    ("POST", "/v1/merges/{merge_id}/unmerge"): "OM",
    ("GET", "/v1/duplicates"): "OMAU",
    ("GET", "/v1/duplicates/{by}/{key}"): "OMAU",
    ("POST", "/v1/duplicates/{by}/{key}/dismiss"): "OM",
    ("POST", "/v1/duplicates/remove"): "OM",
    ("GET", "/v1/suppressions"): "OMAU",
    ("GET", "/v1/suppressions/{suppression_id}"): "OMAU",
    ("POST", "/v1/suppressions"): "OMA",
    ("DELETE", "/v1/suppressions/{suppression_id}"): "OM",
    ("POST", "/v1/may-send"): "OMAU",
    ("POST", "/v1/unsubscribe-links"): "OMAU",
    ("GET", "/v1/contacts/{contact_id}/ledger"): "OMAU",
    ("POST", "/v1/consent-ledgers"): "OMAU",
    ("GET", "/v1/attributes"): "OMAU",
    ("POST", "/v1/attributes"): "OM",
    ("PATCH", "/v1/attributes/{key}"): "OM",
    ("DELETE", "/v1/attributes/{key}"): "OM",
    ("GET", "/v1/dead-letters"): "OMU",
    ("GET", "/v1/dead-letters/{letter_id}"): "OMU",
    ("POST", "/v1/dead-letters/{letter_id}/retry"): "OM",
    ("DELETE", "/v1/dead-letters/{letter_id}"): "OM",
    ("GET", "/v1/webhooks"): "OMU",
    ("POST", "/v1/webhooks"): "OM",
    ("GET", "/v1/webhooks/{webhook_id}"): "OMU",
    ("PATCH", "/v1/webhooks/{webhook_id}"): "OM",
    ("DELETE", "/v1/webhooks/{webhook_id}"): "OM",
    ("POST", "/v1/webhooks/{webhook_id}/rotate-secret"): "OM",
    ("POST", "/v1/webhooks/{webhook_id}/test"): "OM",
    ("POST", "/v1/webhooks/{webhook_id}/replay"): "OM",
    ("GET", "/v1/webhooks/{webhook_id}/deliveries"): "OMU",
    ("GET", "/v1/settings"): "OMAU",
    ("PATCH", "/v1/settings"): "OM",
    ("GET", "/v1/members"): "OMU",
    ("POST", "/v1/members"): "O",
    ("PATCH", "/v1/members/{member_id}"): "O",
    ("DELETE", "/v1/members/{member_id}"): "O",
    ("GET", "/v1/keys"): "OMU",
    ("POST", "/v1/keys"): "O",
    ("DELETE", "/v1/keys/{key_id}"): "O",
}
OPEN: Final = {("GET", path) for path in ("/healthz", "/readyz", "/metrics", "/schema", "/docs", "/docs/{file}")} | {
    # Whoever holds the link may object, and nothing else.
    ("GET", "/unsubscribe/{token}"),
    ("POST", "/unsubscribe/{token}"),
}
LETTERS: Final = {"owner": "O", "manager": "M", "agent": "A", "auditor": "U"}
PROTECTED: Final = [endpoint for endpoint in ENDPOINTS if endpoint.action is not PUBLIC]


def test_every_route_is_in_the_matrix_or_open_on_purpose() -> None:
    assert {(each.method, each.template) for each in PROTECTED} == MATRIX.keys()
    assert {(each.method, each.template) for each in ENDPOINTS if each.action is PUBLIC} == OPEN


@pytest.fixture(scope="module")
async def keys(tenant: Tenant) -> dict[str, str]:
    """A key of every role; the service has no scopes."""
    return {role: await tenant.key(role) for role in ROLES}


NAMED: Final = (
    "list_id",
    "segment_id",
    "webhook_id",
    "letter_id",
    "value",
    "key",
    "member_id",
    "key_id",
    "suppression_id",
    "erasure_id",
    "merge_id",
)


def address(endpoint: Endpoint, contact_id: UUID) -> str:
    values = {"contact_id": str(contact_id), "by": "external_id", "tag": "x", "kind": "telegram", "token": "1"}
    return endpoint.template.format_map(values | dict.fromkeys(NAMED, str(uuid4())))


def body(endpoint: Endpoint) -> Any:
    return next(iter(endpoint.examples.values()), None)


async def status(tenant: Tenant, key: str, endpoint: Endpoint) -> int:
    async with tenant.client(key) as client:
        answer = await client.request(endpoint.method, address(endpoint, uuid4()), json=body(endpoint))
    if answer.status_code == 403:
        assert answer.json()["type"] == "urn:rollbook:problem:forbidden"
    return answer.status_code


@pytest.mark.parametrize("endpoint", PROTECTED, ids=lambda each: each.name)
async def test_each_role_may_do_exactly_what_the_matrix_says(
    tenant: Tenant, keys: dict[str, str], endpoint: Endpoint
) -> None:
    found = {role: await status(tenant, keys[role], endpoint) for role in LETTERS}
    allowed = "".join(LETTERS[role] for role, code in found.items() if code != 403)
    assert allowed == MATRIX[endpoint.method, endpoint.template], found
    assert all(code < 500 and code != 401 for code in found.values()), found


@pytest.mark.parametrize("endpoint", PROTECTED, ids=lambda each: each.name)
async def test_a_service_may_do_what_its_scopes_say_and_nothing_else(
    api: Api, tenant: Tenant, keys: dict[str, str], endpoint: Endpoint
) -> None:
    assert isinstance(endpoint.action, Action)
    assert await status(tenant, keys["service"], endpoint) == 403
    others = [action.value for action in GRANTABLE if action is not endpoint.action]
    assert await status(tenant, await tenant.key("service", *others), endpoint) == 403
    if endpoint.action in GRANTABLE:
        assert await status(tenant, await tenant.key("service", endpoint.action.value), endpoint) != 403


async def test_scopes_that_may_not_be_granted_are_refused(tenant: Tenant) -> None:
    for scope in ("keys.write", "members.write", "contacts.erase", "everything", ""):
        answer = await tenant.owner.post("/v1/keys", json={"name": "x", "role": "service", "scopes": [scope]})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/scopes"), scope


async def test_the_last_owner_key_cannot_be_revoked(api: Api) -> None:
    tenant = await api.tenant()
    answer = await tenant.owner.delete(f"/v1/keys/{tenant.owner_key.split('_')[2]}")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:rollbook:problem:last-owner")
