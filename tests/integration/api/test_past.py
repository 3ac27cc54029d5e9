"""Lists and counts of past moments over HTTP: which moments are taken, and that no later write shows in them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.api.conftest import Api, Tenant


@pytest.fixture
async def tenant(api: Api) -> Tenant:
    return await api.tenant()


async def answered(tenant: Tenant, url: str = "/v1/contacts", **params: Any) -> Any:
    answer = await tenant.owner.get(url, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_list_as_of_a_position_or_an_instant_shows_what_was_there(tenant: Tenant) -> None:
    answer = await tenant.owner.post("/v1/contacts", json={"first_name": "Ann", "email": "ann@example.com"})
    ann = answer.json()
    before = answer.headers["Rollbook-Position"]
    await tenant.contact(first_name="Ben", email="ben@example.com")
    changed = await tenant.owner.patch(f"/v1/contacts/{ann['id']}", json={"first_name": "Anna"})
    gone = await tenant.owner.delete(f"/v1/contacts/{ann['id']}", params={"reason": "left"})

    for as_of in (before, ann["created_at"]):
        page = await answered(tenant, as_of=as_of)
        assert page["items"] == [ann]
        assert page["total"] == {"count": 1, "exact": True}
    assert (await answered(tenant, "/v1/contacts/counts", as_of=before))["total"] == 1
    position = changed.headers["Rollbook-Position"]
    assert [c["first_name"] for c in (await answered(tenant, as_of=position, sort="full_name"))["items"]] == [
        "Anna", "Ben",
    ]  # fmt: skip
    assert [c["first_name"] for c in (await answered(tenant, as_of=position, q="ann"))["items"]] == ["Anna"]
    position = gone.headers["Rollbook-Position"]
    assert [c["id"] for c in (await answered(tenant, as_of=position, deleted="true"))["items"]] == [ann["id"]]
    assert (await answered(tenant, "/v1/contacts/counts", as_of=position))["total"] == 1


async def test_the_answer_says_which_position_it_shows(tenant: Tenant) -> None:
    answer = await tenant.owner.post("/v1/contacts", json={"email": "ann@example.com"})
    position = answer.headers["Rollbook-Position"]
    listed = await tenant.owner.get("/v1/contacts", params={"as_of": position})
    assert listed.headers["Rollbook-Position"] == position


async def test_pages_of_the_past_do_not_move(tenant: Tenant) -> None:
    contacts = [await tenant.contact(email=f"c-{n}@example.com") for n in range(6)]
    moment = (await tenant.owner.get("/v1/contacts")).headers["Rollbook-Position"]
    params: dict[str, Any] = {"as_of": moment, "limit": 2}
    found = []
    while True:
        page = await answered(tenant, **params)
        found += [contact["id"] for contact in page["items"]]
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]
        # The last of the list come first now, and there are more.
        await tenant.visible(await tenant.owner.patch(f"/v1/contacts/{contacts[0]['id']}", json={"first_name": "A"}))
        await tenant.contact()
    assert found == [contact["id"] for contact in reversed(contacts)]


@pytest.mark.parametrize("url", ["/v1/contacts", "/v1/contacts/counts"])
async def test_before_the_beginning_there_is_nothing(tenant: Tenant, url: str) -> None:
    await tenant.contact()
    for as_of in ("0.0", "1999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"):
        found = await answered(tenant, url, as_of=as_of)
        assert found["total"] in (0, {"count": 0, "exact": True})


@pytest.mark.parametrize("url", ["/v1/contacts", "/v1/contacts/counts"])
@pytest.mark.parametrize(
    ("as_of", "why"),
    [
        ("0.999999999", "future"),
        ("2999-01-01T00:00:00Z", "future"),
        ("7.1", "no position"),
        ("yesterday", "instant"),
        ("2026-01-01", "instant"),
        ("2026-01-01T00:00:00", "offset"),
        ("0.-1", "instant"),
        ("0.1; DROP TABLE contact", "instant"),
        ("", "instant"),
    ],
)
async def test_a_moment_that_never_was_is_refused(tenant: Tenant, url: str, as_of: str, why: str) -> None:
    answer = await tenant.owner.get(url, params={"as_of": as_of})
    assert answer.status_code == 400, answer.text
    (error,) = answer.json()["errors"]
    assert error["parameter"] == "as_of"
    assert why in error["detail"]
