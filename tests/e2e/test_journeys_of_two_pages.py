"""Two stories of people at work, through the real stack: what a merge brings together and an unmerge takes apart, and
what becomes of those who complain, leave or are not to be written to.

They are the "All contacts" pages of two products, done step by step over HTTP. Whatever a command answers must be seen
in every read model at the position that it answers with.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest

from tests.e2e.caller import Caller, Subscriber, number_of, visiting
from tests.support.servers import remove_folder, scratch_folder
from tests.support.stack import Up

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

#: When what happened before the merge happened.
BEFORE: Final = datetime.now(UTC) - timedelta(days=30)
#: Fields of a contact that say when, not what.
MOVES: Final = ("version", "changed_at")
#: What follows from activity.
ENGAGED: Final = ("conversation", "email_rating")


@pytest.fixture(scope="module")
async def stack() -> AsyncIterator[tuple[Caller, Subscriber]]:
    """One for both stories."""
    folder: Path = scratch_folder()
    up = Up(folder / "data")
    try:
        running = await asyncio.to_thread(up.ready)
        async with visiting(running) as (caller, subscriber):
            yield caller, subscriber
    finally:
        await asyncio.to_thread(up.stop)
        remove_folder(folder)


def facts(body: dict[str, Any], *but: str) -> dict[str, Any]:
    """A contact without what every event moves."""
    return {name: value for name, value in body.items() if name not in (*MOVES, *but)}


class Desk:
    """Somebody who works with contacts, and always asks for what they just did."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.position = "0.0"

    async def do(self, path: str, body: Any = None, *, method: str = "POST", status: int = 200) -> Any:
        """Any command; later questions wait for it."""
        answer = await self.caller.send(method, path, body, status=status)
        self.position = max(self.position, answer.headers.get("Rollbook-Position", "0.0"), key=number_of)
        return answer.json() if answer.content else None

    async def create(self, **fields: Any) -> dict[str, Any]:
        made: dict[str, Any] = await self.do("/v1/contacts", {"source": "api", **fields}, status=201)
        return made

    async def ask(self, path: str, **parameters: Any) -> Any:
        return await self.caller.get(path, min_position=self.position, **parameters)

    async def contact(self, id_: str) -> dict[str, Any]:
        found: dict[str, Any] = await self.ask(f"/v1/contacts/{id_}")
        return found

    async def found(self, **parameters: Any) -> list[str]:
        """Ids in the list, in its order."""
        page = await self.ask("/v1/contacts", limit=1000, **parameters)
        assert page["total"]["count"] == len(page["items"])
        return [item["id"] for item in page["items"]]

    async def happened(self, *sent: tuple[str, datetime, dict[str, Any], dict[str, Any]]) -> list[str]:
        """Activity as other services tell it: kind, time, contact, data; answers its ids."""
        ids = [uuid4().hex for _ in sent]
        items = [
            {"id": id_, "source": "messenger", "type": kind, "time": at.isoformat(), "contact": who, "data": data}
            for id_, (kind, at, who, data) in zip(ids, sent, strict=True)
        ]
        report = await self.do("/v1/activity", {"items": items})
        assert report["counts"]["recorded"] == len(sent), report
        return ids

    async def timeline(self, id_: str, **parameters: Any) -> list[str]:
        """Ids of what happened to a contact, newest first."""
        page = await self.ask(f"/v1/contacts/{id_}/activity", limit=1000, **parameters)
        return [item["id"] for item in page["items"]]

    async def counts(self, **parameters: Any) -> dict[str, Any]:
        found: dict[str, Any] = await self.ask("/v1/contacts/counts", **parameters)
        return found


# -- merge, later messages, unmerge -----------------------------------------------------------------------------------


async def test_a_merge_brings_everything_together_and_an_unmerge_gives_each_what_was_theirs(
    stack: tuple[Caller, Subscriber],
) -> None:
    caller, subscriber = stack
    desk = Desk(caller)
    mark = uuid4().hex[:10]
    joan, jo = await two_profiles_of_one_person(desk, mark)
    people = (await desk.counts())["total"]
    talked_joan = await talk(desk, {"email": joan["email"]}, "email", BEFORE)
    talked_jo = await talk(desk, {"channel": {"kind": "telegram", "token": f"tg-{mark}"}}, "telegram", BEFORE)
    joan_alone, jo_alone = await desk.contact(joan["id"]), await desk.contact(jo["id"])
    assert jo_alone["conversation"]["status"] == "open"

    merge = await they_are_merged(desk, joan_alone, jo_alone, mark)
    merged_at = desk.position
    assert (await desk.counts())["total"] == people - 1
    assert sorted(await desk.timeline(joan["id"])) == sorted(talked_joan + talked_jo)
    assert await desk.timeline(jo["id"]) == await desk.timeline(joan["id"])

    later = await talk(desk, {"channel": {"kind": "telegram", "token": f"tg-{mark}"}}, "telegram", datetime.now(UTC))
    later += await talk(desk, {"id": jo["id"]}, "email", datetime.now(UTC) + timedelta(minutes=1))
    assert (await desk.timeline(joan["id"]))[: len(later)] == later[::-1]
    await desk.do(f"/v1/contacts/{joan['id']}", {"country": "AT", "last_name": "Doe-Smith"}, method="PATCH")
    # An absorbed id still works: what is done to it is done to the one that stands for it.
    await desk.do(f"/v1/contacts/{jo['id']}/tags", {"tags": [f"{mark} vip"]})
    together = await desk.contact(joan["id"])

    preview = await desk.do(f"/v1/merges/{merge}/unmerge/preview", {"mode": "subtree"})
    assert {edit["field"] for edit in preview["edits"]} == {"country", "language", "last_name", "tags"}
    await desk.do(f"/v1/merges/{merge}/unmerge", {"assign": {"country": jo["id"]}})
    unmerged_at = desk.position

    # Jo is who they were, with the one edit that was theirs; Joan is who she was, with the others.
    back, stays = await desk.contact(jo["id"]), await desk.contact(joan["id"])
    assert facts(back) == facts(jo_alone) | {"country": "AT"}
    expected = {
        "last_name": "Doe-Smith",
        "full_name": "Joan Doe-Smith",
        "language": "de",
        "tags": sorted([*joan["tags"], f"{mark} vip"]),
    }
    assert facts(stays, *ENGAGED) == facts(joan_alone, *ENGAGED) | expected
    assert [preview["leaving"][0]["first_name"], preview["remaining"]["email"]] == ["Jo", joan["email"]]

    # What was said before is each one's own; what was said while they were one stays with her, by whatever way it came.
    assert sorted(await desk.timeline(jo["id"])) == sorted(talked_jo)
    assert sorted(await desk.timeline(joan["id"])) == sorted(talked_joan + later)
    assert (await desk.counts())["total"] == people
    assert await desk.found(q=f"jo.{mark}@example.com") == [jo["id"]]
    assert await desk.found(q=f"joan.{mark}@example.com") == [joan["id"]]
    assert (await caller.send("GET", f"/v1/contacts/{jo['id']}")).headers.get("Content-Location") is None

    # From here on, what comes for Jo is Jo's again.
    again = await talk(desk, {"channel": {"kind": "telegram", "token": f"tg-{mark}"}}, "telegram", datetime.now(UTC))
    assert set(again) <= set(await desk.timeline(jo["id"]))
    assert not set(again) & set(await desk.timeline(joan["id"]))

    # The past stays what it was, and nothing was automated because of the merge.
    assert (await caller.get(f"/v1/contacts/{joan['id']}", as_of=merged_at))["absorbed"] == [jo["id"]]
    assert facts(await caller.get(f"/v1/contacts/{joan['id']}", as_of=unmerged_at))["absorbed"] == []
    assert together["absorbed"] == [jo["id"]]
    await subscriber.reach(desk.position)
    concerned = [event for event in subscriber.events.values() if event.body["subject"] in (joan["id"], jo["id"])]
    told = {event.subject.split(".", 4)[4]: event.body for event in concerned}
    assert {"contact.merged", "contact.absorbed", "contact.unmerged", "contact.reinstated"} <= told.keys()
    assert not told["contact.merged"]["automation"]
    assert told["contact.created"]["automation"]


async def two_profiles_of_one_person(desk: Desk, mark: str) -> tuple[dict[str, Any], dict[str, Any]]:
    joan = await desk.create(
        first_name="Joan", last_name="Doe", email=f"joan.{mark}@example.com", external_id=f"joan-{mark}",
        tags=[f"{mark} customer"], channels=[{"kind": "whatsapp", "token": "4915112345678"}],
    )  # fmt: skip
    jo = await desk.create(
        first_name="Jo", email=f"jo.{mark}@example.com", phone="+49 30 901821", country="DE",
        external_id=f"jo-{mark}", tags=[f"{mark} lead"], channels=[{"kind": "telegram", "token": f"tg-{mark}"}],
    )  # fmt: skip
    return joan, jo


async def talk(desk: Desk, who: dict[str, Any], channel: str, at: datetime) -> list[str]:
    """A conversation is opened, somebody writes, is answered, and somebody else leaves a comment."""
    steps = (("opened", {}), ("message_in", {"preview": "Hello?"}), ("message_out", {"preview": "Yes."}))
    ids = []
    for number, (name, said) in enumerate((*steps, ("commented", {"preview": "nice person"}))):
        data = {"conversation_id": f"c-{at:%s}", "channel": channel, **said}
        ids += await desk.happened((f"conversation.{name}", at + timedelta(seconds=number), who, data))
    return ids


async def they_are_merged(desk: Desk, joan: dict[str, Any], jo: dict[str, Any], mark: str) -> str:
    """Joan's profile stays, with Jo's first name; what she lacks is filled from Jo."""
    blocked = await desk.create(email=f"blocked.{mark}@example.com")
    await desk.do(f"/v1/contacts/{blocked['id']}/block", {"reason": "rude"})
    refused = await desk.do("/v1/merges", {"primary": joan["id"], "others": [blocked["id"]]}, status=409)
    assert refused["type"] == "urn:rollbook:problem:contact-blocked"
    await desk.do(f"/v1/contacts/{blocked['id']}?reason=test", method="DELETE")

    asked = {"primary": joan["id"], "others": [jo["id"]], "choices": {"first_name": jo["id"]}}
    preview = await desk.do("/v1/merges/preview", asked)
    merge = await desk.do("/v1/merges", asked, status=201)
    shown = await desk.contact(joan["id"])
    assert facts(preview["outcome"], *ENGAGED) == facts(shown, *ENGAGED)
    assert (shown["first_name"], shown["last_name"], shown["email"]) == ("Jo", "Doe", joan["email"])
    assert (shown["phone"], shown["country"]) == (jo["phone"], "DE")
    assert shown["tags"] == sorted([*joan["tags"], *jo["tags"]])
    assert {channel["kind"] for channel in shown["channels"]} == {"whatsapp", "telegram"}
    assert shown["absorbed"] == [jo["id"]]
    # Every way to them leads to the one profile now, at once.
    moved = await desk.caller.send("GET", f"/v1/contacts/{jo['id']}")
    assert (moved.json(), moved.headers["Content-Location"]) == (shown, f"/v1/contacts/{joan['id']}")
    assert await desk.found(q=mark) == [joan["id"]]
    upserted = await desk.do(f"/v1/contacts/by/external_id/jo-{mark}", {"language": "de"}, method="PUT")
    assert upserted["id"] == joan["id"]
    assert jo["id"] not in await desk.found()
    merge_id: str = merge["id"]
    return merge_id


# -- complaints, blacklists, and the deleted --------------------------------------------------------------------------


async def test_who_complains_leaves_or_is_blacklisted_is_counted_shown_and_not_written_to(
    stack: tuple[Caller, Subscriber],
) -> None:
    caller, _ = stack
    desk = Desk(caller)
    mark = uuid4().hex[:10]
    await desk.do("/v1/settings", {"double_opt_in": {"subscription_form": True}}, method="PATCH")
    before = (await desk.counts())["email"]
    names = ("keeps", "bounces", "complains", "leaves")
    people = {name: await desk.create(email=f"{name}.{mark}@example.com", last_name=name.title()) for name in names}
    people["waits"] = await desk.create(email=f"waits.{mark}@example.com", source="subscription_form")
    ids = {name: person["id"] for name, person in people.items()}

    await they_object(desk, ids, people, mark)
    statuses = {
        "keeps": "active", "bounces": "blacklisted", "complains": "spam_report", "leaves": "unsubscribed",
        "waits": "not_confirmed",
    }  # fmt: skip
    await all_of_it_is_seen(desk, ids, statuses, before, mark)
    await nobody_writes_to_them(desk, ids, statuses, mark)
    await the_deleted(desk, ids, statuses, mark)
    await they_come_back(desk, ids, statuses, before, mark)


async def they_object(desk: Desk, ids: dict[str, str], people: dict[str, Any], mark: str) -> None:
    """One click in the list, a complaint told by the mailer, the link in a message."""
    said = {"channel": "email", "reason": "inactive email address"}
    bounced = await desk.do(f"/v1/contacts/{ids['bounces']}/blacklist", said)
    status = bounced["email_status"]
    assert (status["status"], status["reason"], status["source"]) == ("blacklisted", "inactive email address", "api")
    assert status["since"] is not None

    at, data = datetime.now(UTC), {"channel": "email", "message_name": "Spring"}
    await desk.happened(("message.spam_reported", at, {"email": people["complains"]["email"]}, data))

    asked = {"base_url": "https://mail.example.com", "contacts": [ids["leaves"]]}
    link = (await desk.do("/v1/unsubscribe-links", asked))["items"][0]["url"]
    path = link.removeprefix("https://mail.example.com")
    shown = await desk.caller.send("GET", path)
    assert "Unsubscribe" in shown.text
    assert (await desk.contact(ids["leaves"]))["email_status"]["status"] == "active", "to look at the page does nothing"
    await desk.caller.send_form(path, List_Unsubscribe="One-Click")
    # The person's click has an answer for the person; the position comes with the next command.
    await desk.do(f"/v1/contacts/{ids['keeps']}", {"first_name": mark}, method="PATCH")


async def all_of_it_is_seen(
    desk: Desk, ids: dict[str, str], statuses: dict[str, str], before: dict[str, int], mark: str
) -> None:
    counts = (await desk.counts())["email"]
    assert {name: counts[name] - before[name] for name in counts} == {
        "all": 5, "active": 1, "blacklisted": 1, "spam_report": 1, "unsubscribed": 1, "not_confirmed": 1,
        "over_limit": 0,
    }  # fmt: skip
    for name, status in statuses.items():
        contact = await desk.contact(ids[name])
        assert contact["email_status"]["status"] == status, name
        assert await desk.found(q=mark, email_status=status) == [ids[name]]
    assert set(await desk.found(q=mark, email_status="all")) == set(ids.values())


async def nobody_writes_to_them(desk: Desk, ids: dict[str, str], statuses: dict[str, str], mark: str) -> None:
    spelt = [f"{name.upper()}.{mark}+news@Example.com" for name in statuses]
    for asked in ({"contacts": list(ids.values())}, {"addresses": spelt}):
        answer = await desk.do("/v1/may-send", {"channel": "email", **asked})
        assert [item["reason"] for item in answer["items"]] == [
            None if status == "active" else status for status in statuses.values()
        ]


async def the_deleted(desk: Desk, ids: dict[str, str], statuses: dict[str, str], mark: str) -> None:
    """They leave the list, and are found among the deleted by name and by status, in either order."""
    gone = ["complains", "leaves", "bounces"]
    before = (await desk.counts(deleted="true"))["email"]
    for name in gone:
        deleted = await desk.do(f"/v1/contacts/{ids[name]}", {"reason": f"cleaned up: {name}"}, method="DELETE")
        assert deleted["deletion_reason"] == f"cleaned up: {name}"
    assert set(await desk.found(q=mark)) == {ids["keeps"], ids["waits"]}
    assert await desk.found(q=mark, deleted="true", sort="deleted_at") == [ids[name] for name in gone]
    by_creation = [name for name in ids if name in gone]
    assert await desk.found(q=mark, deleted="true", sort="-created_at") == [ids[name] for name in by_creation[::-1]]
    for name in gone:
        assert await desk.found(q=mark, deleted="true", email_status=statuses[name]) == [ids[name]]
        assert await desk.found(q=f"{name} {mark}", deleted="true") == [ids[name]]
    counts = (await desk.counts(deleted="true"))["email"]
    assert {name for name in counts if counts[name] - before[name] == 1} == {statuses[name] for name in gone}
    # Whom one may not write to one may not write to when they are deleted, either.
    answer = await desk.do("/v1/may-send", {"channel": "email", "addresses": [f"leaves.{mark}@example.com"]})
    assert answer["items"][0]["reason"] == "unsubscribed"


async def they_come_back(
    desk: Desk, ids: dict[str, str], statuses: dict[str, str], before: dict[str, int], mark: str
) -> None:
    """Restored they are what they were; then the complaint is taken back, with a reason, and who left agrees again."""
    for name in ("complains", "leaves", "bounces"):
        back = await desk.do(f"/v1/contacts/{ids[name]}/restore")
        assert (back["email_status"]["status"], back["deleted_at"]) == (statuses[name], None)
    assert set(await desk.found(q=mark)) == set(ids.values())
    await desk.do(f"/v1/contacts/{ids['complains']}/clear-spam", {"channel": "email"}, status=422)
    cleared = await desk.do(f"/v1/contacts/{ids['complains']}/clear-spam", {"channel": "email", "reason": "by mistake"})
    assert cleared["email_status"]["status"] == "active"
    await desk.do(f"/v1/contacts/{ids['leaves']}/resubscribe", {"channel": "email"}, status=422)
    proof = {"text": "Yes, send me news", "form_version": "7"}
    agreed = await desk.do(f"/v1/contacts/{ids['leaves']}/resubscribe", {"channel": "email", "proof": proof})
    assert (agreed["email_status"]["status"], agreed["consents"]["email"]) == ("active", "subscribed")
    counts = (await desk.counts())["email"]
    assert {name: counts[name] - before[name] for name in counts} == {
        "all": 5, "active": 3, "blacklisted": 1, "spam_report": 0, "unsubscribed": 0, "not_confirmed": 1,
        "over_limit": 0,
    }  # fmt: skip
