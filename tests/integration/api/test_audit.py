"""History, provenance and differences over HTTP, through merges, as of any moment."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.integration.api.conftest import Tenant


async def merged(tenant: Tenant) -> tuple[dict[str, Any], dict[str, Any], str, str]:
    """Two contacts and the merge that made the second part of the first, and where the log stood before it."""
    ann = await tenant.contact(first_name="Ann", external_id=f"a-{uuid4()}")
    bea = await tenant.contact(last_name="Meyer", email=f"{uuid4()}@example.com", tags=["vip"])
    tagged = await tenant.owner.post(f"/v1/contacts/{bea['id']}/tags", json={"tags": ["late"]})
    merge = await tenant.owner.post("/v1/merges", json={"primary": ann["id"], "others": [bea["id"]]})
    assert merge.status_code == 201, merge.text
    return ann, bea, merge.json()["id"], tagged.headers["Rollbook-Position"]


async def test_the_history_of_a_merged_profile_reads_like_a_story(tenant: Tenant) -> None:
    ann, bea, merge, _ = await merged(tenant)
    answer = await tenant.owner.get(f"/v1/contacts/{ann['id']}/history", params={"sort": "version"})
    items = answer.json()["items"]
    assert [(item["event"], item["contact"], item["before_merge"]) for item in items] == [
        ("contact.created", ann["id"], False),
        ("contact.created", bea["id"], True),
        ("contact.tagged", bea["id"], True),
        ("contact.merged", ann["id"], False),
        ("contact.absorbed", bea["id"], False),
    ]
    assert items[2]["sentence"] == f"API key “first key” gave contact {bea['id']} the tag “late” over the API."
    assert items[2]["merge"] == merge
    assert items[3]["sentence"] == (
        f"API key “first key” merged contact {bea['id']} into this contact over the API (merge {merge})."
    )
    absorbed = await tenant.owner.get(f"/v1/contacts/{bea['id']}/history")
    assert absorbed.headers["Content-Location"] == f"/v1/contacts/{ann['id']}"
    pages, cursor = [], None
    while True:
        page = {"limit": 2, "sort": "version"} | ({"cursor": cursor} if cursor else {})
        found = (await tenant.owner.get(f"/v1/contacts/{ann['id']}/history", params=page)).json()
        pages += found["items"]
        cursor = found["next_cursor"]
        if cursor is None:
            break
    assert pages == items


async def test_provenance_names_event_actor_contact_and_merge(tenant: Tenant) -> None:
    ann, bea, merge, before = await merged(tenant)
    answer = await tenant.owner.get(f"/v1/contacts/{ann['id']}/provenance")
    fields = {(f["field"], f["element"]): f for f in answer.json()["fields"]}
    last = fields["last_name", None]
    assert (last["value"], last["contact"], last["merge"]) == ("Meyer", bea["id"], merge)
    assert last["set_by"]["actor"].startswith("key:")
    assert (last["set_by"]["event"], last["shown_since"]["event"]) == ("contact.created", "contact.merged")
    assert fields["tags", "late"]["set_by"]["position"] == before
    then = await tenant.owner.get(f"/v1/contacts/{ann['id']}/provenance", params={"as_of": before})
    assert "last_name" not in {f["field"] for f in then.json()["fields"]}


async def test_a_difference_of_two_moments_names_what_made_it(tenant: Tenant) -> None:
    ann, bea, _, before = await merged(tenant)
    edited = await tenant.owner.patch(f"/v1/contacts/{ann['id']}", json={"first_name": "Anna"})
    url = f"/v1/contacts/{ann['id']}/diff"
    answer = await tenant.owner.get(url, params={"from": before})
    found = answer.json()
    fields = {f["field"]: f for f in found["fields"]}
    assert (found["before"]["version"], found["after"]["version"]) == (1, 3)
    assert (fields["first_name"]["before"], fields["first_name"]["after"]) == ("Ann", "Anna")
    assert [e["position"] for e in fields["first_name"]["events"]] == [edited.headers["Rollbook-Position"]]
    assert [e["event"] for e in fields["last_name"]["events"]] == ["contact.merged"]
    assert (await tenant.owner.get(url, params={"from": before, "to": before})).json()["fields"] == []
    of_bea = (await tenant.owner.get(f"/v1/contacts/{bea['id']}/diff", params={"from": before})).json()
    assert (of_bea["before"]["contact"], of_bea["after"]["contact"]) == (bea["id"], ann["id"])
    whole = (await tenant.owner.get(url, params={"from": "2020-01-01T00:00:00Z"})).json()
    assert (whole["before"]["contact"], whole["before"]["version"]) == (None, 0)


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({}, "from"),
        ({"from": "yesterday"}, "from"),
        ({"from": "0.1", "to": "tomorrow"}, "to"),
        ({"from": "2126-01-01T00:00:00Z", "to": "0.1"}, "from"),
        ({"from": "1.1"}, "from"),
        ({"from": "0.1", "until": "0.2"}, "until"),
    ],
)
async def test_moments_that_make_no_sense_are_refused(tenant: Tenant, query: dict[str, str], parameter: str) -> None:
    contact = await tenant.contact()
    answer = await tenant.owner.get(f"/v1/contacts/{contact['id']}/diff", params=query)
    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (400, parameter), answer.text


async def test_a_contact_that_never_was_has_no_past(tenant: Tenant) -> None:
    for path in ("history", "provenance", "diff?from=0.1"):
        assert (await tenant.owner.get(f"/v1/contacts/{uuid4()}/{path}")).status_code == 404
    later = await tenant.contact()
    answer = await tenant.owner.get(f"/v1/contacts/{later['id']}/diff", params={"from": "0.1", "to": "0.1"})
    assert answer.status_code == 404


async def test_a_contact_read_as_of_a_moment_is_the_profile_of_then(tenant: Tenant) -> None:
    ann, bea, merge, before = await merged(tenant)
    while_merged = (await tenant.owner.get(f"/v1/contacts/{ann['id']}/history")).json()["items"][0]["position"]
    await tenant.owner.post(f"/v1/merges/{merge}/unmerge")
    for id_, moment, shown, last_name in (
        (bea["id"], before, bea["id"], "Meyer"),
        (bea["id"], while_merged, ann["id"], "Meyer"),
        (ann["id"], while_merged, ann["id"], "Meyer"),
        (ann["id"], before, ann["id"], None),
    ):
        then = await tenant.owner.get(f"/v1/contacts/{id_}", params={"as_of": moment})
        assert (then.json()["id"], then.json()["last_name"]) == (shown, last_name)
        assert (then.headers.get("Content-Location") is None) == (id_ == shown)
