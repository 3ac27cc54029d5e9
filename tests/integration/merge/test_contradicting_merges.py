"""Merges that should have been refused, as older logs hold them: every reader says the same, and an unmerge ends it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from contacts.catalog import PROJECTIONS
from contacts.contact.events import ContactAbsorbed, ContactMerged
from contacts.merge.events import MergeCompleted
from eventstore.envelope import ANY_VERSION, NO_STREAM, Stream, StreamWrite, Write
from eventstore.rebuild import Rebuild
from rollbook.merges import Contradiction, contradictions
from tests.integration.api.conftest import Api, Tenant, running_api

#: Whose rows show who stands for whom.
READ_MODELS = ("contact", "history", "engagement", "duplicate")


@pytest.fixture
async def api(database: str) -> AsyncIterator[Api]:
    async with running_api(database) as running:
        yield running


class Old:
    """A workspace whose log is written as it was before merges were planned on profiles of one moment."""

    def __init__(self, api: Api, tenant: Tenant, database: str) -> None:
        self.api, self.tenant, self.database = api, tenant, database
        self.position = ""

    async def create(self, name: str) -> UUID:
        made = await self.tenant.contact(
            external_id=name, first_name=name.title(), email=f"{name}@example.com", tags=[name]
        )
        said = {"id": name, "source": "desk", "type": "conversation.message_in", "time": datetime.now(UTC).isoformat()}
        item = {**said, "contact": {"external_id": name}, "data": {"preview": name}}
        await self._done(await self.tenant.owner.post("/v1/activity", json={"items": [item]}))
        return UUID(made["id"])

    async def merge(self, primary: UUID, *others: UUID) -> UUID:
        """Asks nobody."""
        merge_id, workspace_id = uuid7(), self.tenant.workspace_id

        def write(category: str, id_: UUID, event: Any) -> StreamWrite:
            contact = category == "contact"
            return StreamWrite(
                stream=Stream(workspace_id, category, id_), expected_version=ANY_VERSION if contact else NO_STREAM,
                events=(event,), subject_id=id_ if contact else None,
            )  # fmt: skip

        streams = (
            write("contact", primary, ContactMerged(merge_id=merge_id, others=others)),
            *(write("contact", other, ContactAbsorbed(merge_id=merge_id, into=primary)) for other in others),
            write("merge", merge_id, MergeCompleted(primary=primary, others=others)),
        )
        appended = await self.api.services.store.append(
            Write(workspace_id=workspace_id, streams=streams, idempotency_key=merge_id.hex)
        )
        self.position = appended.token
        return merge_id

    async def unmerge(self, merge_id: UUID, **body: Any) -> dict[str, Any]:
        return await self._done(await self.tenant.owner.post(f"/v1/merges/{merge_id}/unmerge", json=body))

    async def _done(self, answer: Any) -> dict[str, Any]:
        assert answer.status_code < 300, answer.text
        self.position = answer.headers["Rollbook-Position"]
        found: dict[str, Any] = answer.json()
        return found

    async def seen(self, *contacts: UUID, as_of: str | None = None) -> list[tuple[str, tuple[str, ...], Any]]:
        """Of each: who stands for it, what of, and what was said last there."""
        found = []
        for contact in contacts:
            query = {} if as_of is None else {"as_of": as_of}
            headers = {"Rollbook-Min-Position": self.position}
            answer = await self.tenant.owner.get(f"/v1/contacts/{contact}", params=query, headers=headers)
            shown = await self._shown(answer)
            found.append((shown["id"], tuple(shown["tags"]), shown["conversation"]["last_message_preview"]))
        return found

    async def _shown(self, answer: Any) -> dict[str, Any]:
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def is_the_same_everywhere(self, *contacts: UUID, rebuilt: bool = False) -> None:
        """Read models as they came about, or as a rebuild makes them, the past, and what a command meets."""
        seen = await self.seen(*contacts)
        assert await self.seen(*contacts, as_of=self.position) == seen
        listed = await self.tenant.owner.get("/v1/contacts", params={"as_of": self.position})
        now = await self.tenant.owner.get("/v1/contacts", headers={"Rollbook-Min-Position": self.position})
        assert {item["id"] for item in now.json()["items"]} == {each for each, _, _ in seen}
        assert {item["id"] for item in listed.json()["items"]} == {each for each, _, _ in seen}
        for projection in PROJECTIONS:
            if rebuilt and projection.name in READ_MODELS:
                await Rebuild(self.api.services.store, self.database, projection).run()
        assert await self.seen(*contacts) == seen
        for contact, (shown, tags, _) in zip(contacts, seen, strict=True):
            edited = await self._done(
                await self.tenant.owner.patch(f"/v1/contacts/{contact}", json={"last_name": "Lee"})
            )
            assert (edited["id"], tuple(edited["tags"])) == (shown, tags)

    async def contradictions(self) -> list[Contradiction]:
        shown = await self.tenant.owner.get("/v1/contacts", headers={"Rollbook-Min-Position": self.position})
        assert shown.status_code == 200, shown.text
        connection = await asyncpg.connect(self.database)
        try:
            return await contradictions(connection)
        finally:
            await connection.close()


@pytest.fixture
async def old(api: Api, database: str) -> Old:
    return Old(api, await api.tenant(), database)


async def test_who_was_absorbed_by_two_is_where_it_says_last(old: Old) -> None:
    ann, ben, cleo = [await old.create(name) for name in ("ann", "ben", "cleo")]
    first = await old.merge(ann, ben)
    second = await old.merge(cleo, ben, ann)
    everybody = str(cleo), ("ann", "ben", "cleo"), "cleo"
    assert await old.seen(ann, ben, cleo) == [everybody] * 3
    await old.is_the_same_everywhere(ann, ben, cleo, rebuilt=True)
    assert await old.contradictions() == [Contradiction(old.tenant.workspace_id, ben, ann, first, cleo)]

    undone = await old.unmerge(first)
    assert undone["merged"] == []
    assert await old.contradictions() == []
    await old.is_the_same_everywhere(ann, ben, cleo)
    await old.unmerge(second)
    alone = [(str(ann), ("ann",), "ann"), (str(ben), ("ben",), "ben"), (str(cleo), ("cleo",), "cleo")]
    assert await old.seen(ann, ben, cleo) == alone
    await old.is_the_same_everywhere(ann, ben, cleo)


async def test_what_was_absorbed_twice_comes_out_of_the_second_merge_first_as_well(old: Old) -> None:
    ann, ben, cleo = [await old.create(name) for name in ("ann", "ben", "cleo")]
    _, second = await old.merge(ann, ben), await old.merge(cleo, ben, ann)
    await old.unmerge(second, contacts=[str(ann)])
    assert [each for each, _, _ in await old.seen(ann, ben, cleo)] == [str(ann), str(cleo), str(cleo)]
    assert await old.contradictions() == []
    await old.is_the_same_everywhere(ann, ben, cleo, rebuilt=True)
    await old.unmerge(second)
    assert [each for each, _, _ in await old.seen(ann, ben, cleo)] == [str(ann), str(ben), str(cleo)]
    # Nothing is left that could stand in the way of the opposite.
    await old._done(await old.tenant.owner.post("/v1/merges", json={"primary": str(ben), "others": [str(ann)]}))
    assert [each for each, _, _ in await old.seen(ann, ben)] == [str(ben)] * 2
    await old.is_the_same_everywhere(ann, ben, cleo)


async def test_of_two_that_absorbed_each_other_the_second_merge_counts_for_nothing(old: Old) -> None:
    ann, ben = [await old.create(name) for name in ("ann", "ben")]
    await old.merge(ann, ben)
    second = await old.merge(ben, ann)
    both = str(ann), ("ann", "ben"), "ben"
    assert await old.seen(ann, ben) == [both] * 2
    await old.is_the_same_everywhere(ann, ben, rebuilt=True)
    assert await old.contradictions() == []
    assert (await old.unmerge(second))["merged"] == []
    assert await old.seen(ann, ben) == [both] * 2
    await old.is_the_same_everywhere(ann, ben)
