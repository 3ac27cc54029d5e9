"""One journey through the real stack: a thousand people come, change, go and return, and every trace of it is right.

What the API answered to each command is what everything is compared with: lists, searches, history, the past, NATS.
"""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter, defaultdict
from collections.abc import Awaitable, Iterable
from pathlib import Path
from typing import Any, Final

import phonenumbers
import pytest
from phonenumbers import PhoneNumberFormat

from tests.e2e.caller import Answered, Caller, Event, Subscriber, answered_of, number_of, visiting
from tests.e2e.people import REGION, Person, may_match, read_people, typed
from tests.support.stack import Up, alive, descendants

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

SEED: Final = 20261122
STOP_WITHIN_S: Final = 5.0
REASON: Final = "asked by letter of 3 March"
MARRIED: Final = "Þorgerðardóttir-Ólafsson"
TAG: Final = "stammkundin 常客"
#: What may be seen nowhere but in answers of the API.
PERSONAL: Final = {REASON, MARRIED, TAG, *(canary for person in read_people() for canary in person.canaries)}


async def test_a_thousand_people_come_change_go_and_return_without_a_trace_lost(scratch_folder: Path) -> None:
    people = read_people()
    assert len({person.external_id for person in people}) == 1_000
    up = Up(scratch_folder / "data")
    try:
        running = await asyncio.to_thread(up.ready)
        async with visiting(running) as (caller, subscriber):
            ids = await create(caller, people)
            await repeat(caller, people, ids)
            await change(caller, people, ids)
            await list_all(caller)
            await page_while_others_write(caller)
            await search(caller)
            await look_back(caller)
            await repeat_much_later(caller, people, ids)
            await subscriber.reach(caller.position)
            check_events(caller, subscriber)
            await read_what_an_event_tells(caller, subscriber)
        begun = descendants(up.process.pid)
        assert begun > set(running.pids.values()), "PostgreSQL has processes of its own"
        took_s = await asyncio.to_thread(up.stop, signal.SIGTERM)
    finally:
        await asyncio.to_thread(up.stop)
    assert took_s < STOP_WITHIN_S
    assert up.process.returncode == 0
    assert alive({str(pid): pid for pid in begun}) == {}
    for log in (up.folder / "logs").iterdir():
        check_nothing_personal(log.name, log.read_bytes())


# -- coming -----------------------------------------------------------------------------------------------------------


async def create(caller: Caller, people: list[Person]) -> dict[str, str]:
    """All of them at once, every fifth one twice at the same time; answers the contact ids by external id."""
    await caller.send("PATCH", "/v1/settings", {"default_region": REGION})
    made = await gather(create_one(caller, person, twice=n % 5 == 0) for n, person in enumerate(people))
    counts = await caller.get("/v1/contacts/counts", min_position=caller.position)
    assert (counts["total"], counts["email"]["active"], counts["phone"]["active"]) == (
        len(people),
        sum(1 for person in people if person.email),
        sum(1 for person in people if person.phone),
    )
    return {person.external_id: each.body["id"] for person, each in zip(people, made, strict=True)}


async def create_one(caller: Caller, person: Person, *, twice: bool) -> Answered:
    path, key = "/v1/contacts", f"create-{person.external_id}"
    again = caller.send("POST", path, person.body, status=201, Idempotency_Key=key) if twice else None
    sent = [caller.command("POST", path, person.body, "contact.created", status=201, Idempotency_Key=key)]
    made, *repeated = await asyncio.gather(*sent, *([again] if again else []))
    assert [answered_of(each) for each in repeated] == [made] * len(repeated)
    assert made.body | person.expected == made.body
    # Whoever has the position reads what was written, by id and in the list.
    seen = await caller.get(f"/v1/contacts/{made.body['id']}", min_position=made.position)
    assert seen == made.body
    if twice:
        page = await caller.get("/v1/contacts", q=person.external_id, min_position=made.position)
        assert page["items"] == [made.body]
    return made


async def repeat(caller: Caller, people: list[Person], ids: dict[str, str]) -> None:
    """A repeat changes nothing, another request under the same key is refused, so is the id of somebody else."""
    for person in people[:40:4]:
        key = f"create-{person.external_id}"
        again = await caller.send("POST", "/v1/contacts", person.body, status=201, Idempotency_Key=key)
        assert answered_of(again) == caller.now(ids[person.external_id])
        other = person.body | {"last_name": "Somebody Else"}
        refused = await caller.send("POST", "/v1/contacts", other, status=422, Idempotency_Key=key)
        assert refused.json()["type"] == "urn:rollbook:problem:idempotency-key-reused"
        taken = await caller.send("POST", "/v1/contacts", other, status=409)
        assert taken.json()["holder"] == ids[person.external_id]


async def repeat_much_later(caller: Caller, people: list[Person], ids: dict[str, str]) -> None:
    """The answer to a creation stays the same, whatever has become of the contact since."""
    for person in people[::40]:
        key = f"create-{person.external_id}"
        again = await caller.send("POST", "/v1/contacts", person.body, status=201, Idempotency_Key=key)
        assert answered_of(again) == caller.answers[ids[person.external_id]][0]


# -- changing ---------------------------------------------------------------------------------------------------------


async def change(caller: Caller, people: list[Person], ids: dict[str, str]) -> None:
    """Half of them change in one way or another, all at the same time."""
    lives = (marry, tag, leave, leave_and_return, stay_as_they_are, move, block)
    await gather(
        lives[n // 2 % len(lives)](caller, person, f"/v1/contacts/{ids[person.external_id]}")
        for n, person in enumerate(people)
        if n % 2
    )


async def marry(caller: Caller, person: Person, path: str) -> None:
    tags = [*person.tag_list, TAG]
    patch = {"last_name": MARRIED, "tags": tags}
    events = ("contact.details_changed", "contact.tagged")
    now = await caller.command("PATCH", path, patch, *events, If_Match='"1"', Idempotency_Key=f"marry-{path}")
    assert (now.version, now.body["last_name"], set(now.body["tags"])) == (3, MARRIED, set(tags))
    stale = await caller.send("PATCH", path, {"last_name": "Lost Update"}, status=412, If_Match='"1"')
    assert stale.json()["type"] == "urn:rollbook:problem:precondition-failed"


async def tag(caller: Caller, person: Person, path: str) -> None:
    now = await caller.command("POST", f"{path}/tags", {"tags": [TAG, TAG.upper()]}, "contact.tagged")
    assert len(now.body["tags"]) == len(person.tag_list) + 1
    now = await caller.command("DELETE", f"{path}/tags/{TAG.title()}", None, "contact.untagged")
    assert now.body["tags"] == sorted(person.tag_list)


async def leave(caller: Caller, _: Person, path: str) -> None:
    now = await caller.command("DELETE", path, {"reason": REASON}, "contact.deleted")
    assert (now.body["deleted_at"], now.body["deletion_reason"]) == (now.body["changed_at"], REASON)
    await caller.send("PATCH", path, {"last_name": "Ghost"}, status=409)


async def leave_and_return(caller: Caller, person: Person, path: str) -> None:
    before = caller.now(path.rpartition("/")[2]).body
    await caller.command("DELETE", f"{path}?reason=mistake", None, "contact.deleted")
    now = await caller.command("POST", f"{path}/restore", None, "contact.restored")
    moved = {"version": before["version"] + 2, "changed_at": now.body["changed_at"]}
    assert now.body == before | moved, "they are as they were"


async def stay_as_they_are(caller: Caller, person: Person, path: str) -> None:
    before = caller.now(path.rpartition("/")[2])
    now = await caller.command("PATCH", path, person.body)
    assert (now.version, now.body) == (before.version, before.body), "nothing changed, so nothing was recorded"


async def move(caller: Caller, person: Person, _: str) -> None:
    """Known by what their own system calls them, without an id of ours."""
    path = f"/v1/contacts/by/external_id/{person.external_id}"
    address = {"street": "Rue de l’Été 7", "city": "Łódź", "country": "pl"}
    now = await caller.command("PUT", path, {"address": address}, "contact.details_changed")
    assert now.body["address"] == {"region": None, "postcode": None} | address | {"country": "PL"}


async def block(caller: Caller, _: Person, path: str) -> None:
    assert (await caller.command("POST", f"{path}/block", {"reason": REASON}, "contact.blocked")).body["blocked"]
    assert not (await caller.command("POST", f"{path}/unblock", None, "contact.unblocked")).body["blocked"]
    channel = {"kind": "telegram", "token": path.rpartition("/")[2]}
    now = await caller.command("POST", f"{path}/channels", channel, "contact.channel_connected")
    assert now.body["channels"][0]["kind"] == "telegram"


# -- lists ------------------------------------------------------------------------------------------------------------


async def list_all(caller: Caller) -> None:
    """In every order, every contact is there exactly once, and as its last command left it."""
    present = caller.present
    deleted = caller.answers.keys() - present.keys()
    items = [
        item
        async for page in caller.pages(limit=97, sort="created_at", min_position=caller.position)
        for item in page["items"]
    ]
    assert {item["id"]: item for item in items} == present
    assert [item["created_at"] for item in items] == sorted(item["created_at"] for item in items)
    for sort in ("-created_at", "-changed_at", "full_name", "-last_name", "email", "-external_id"):
        check_once(await caller.ids(limit=333, sort=sort), present)
    check_once(await caller.ids(limit=10, deleted="true", sort="-deleted_at"), deleted)
    page = await caller.get("/v1/contacts", limit=1, sort="external_id")
    assert page["items"][0]["external_id"] == min(contact["external_id"] for contact in present.values())
    assert page["total"] == {"count": len(present), "exact": True}
    counts = await caller.get("/v1/contacts/counts", deleted="true")
    assert counts["total"] == len(deleted)


async def page_while_others_write(caller: Caller) -> None:
    """Whoever stays in the list is seen exactly once, although others come, go and change between the pages."""
    chance = random.Random(SEED)
    staying = set(caller.present)
    seen: list[str] = []
    async for page in caller.pages(limit=40, sort="full_name", fields="id"):
        seen += (item["id"] for item in page["items"])
        one, other = chance.sample(sorted(staying), 2)
        staying -= {one}
        await asyncio.gather(
            caller.command("DELETE", f"/v1/contacts/{one}", {"reason": REASON}, "contact.deleted"),
            caller.command("POST", f"/v1/contacts/{other}/block", None, *blocked_again(caller, other)),
            *(newcomer(caller, chance) for _ in range(3)),
        )
    counts = Counter(seen)
    assert set(counts.values()) == {1}
    assert staying <= counts.keys()
    check_once(await caller.ids(limit=1000, min_position=caller.position), caller.present)


def blocked_again(caller: Caller, contact_id: str) -> tuple[str, ...]:
    return () if caller.now(contact_id).body["blocked"] else ("contact.blocked",)


async def newcomer(caller: Caller, chance: random.Random) -> None:
    name = "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=8))
    body = {"first_name": name.title(), "external_id": f"late-{name}"}
    await caller.command("POST", "/v1/contacts", body, "contact.created", status=201)


def check_once(listed: list[str], expected: Iterable[str]) -> None:
    assert len(listed) == len(set(listed)), "somebody is there twice"
    assert set(listed) == set(expected)


# -- search -----------------------------------------------------------------------------------------------------------


async def search(caller: Caller) -> None:
    chance = random.Random(SEED)
    present = caller.present
    await caller.get("/v1/contacts", limit=1, min_position=caller.position)
    named = [contact for contact in present.values() if len(contact["full_name"] or "") > 3]
    await gather(find_by_name(caller, present, contact) for contact in chance.sample(named, 120))
    reachable = [contact for contact in present.values() if contact["phone"] and contact["email"]]
    await gather(find_by_address(caller, present, contact) for contact in chance.sample(reachable, 60))
    assert await caller.ids(q="crm-00000 nobody") == []


async def find_by_name(caller: Caller, present: dict[str, Any], contact: dict[str, Any]) -> None:
    for text in (contact["full_name"], typed(contact["full_name"])):
        found = await caller.ids(q=text, limit=1000)
        assert contact["id"] in found, f"{text!r} does not find {contact['full_name']!r}"
        strangers = [present[id_]["full_name"] for id_ in found if not may_match(text, present[id_])]
        assert strangers == [], f"{text!r} finds them"


async def find_by_address(caller: Caller, present: dict[str, Any], contact: dict[str, Any]) -> None:
    only = [contact["id"]]
    for text in (contact["email"], contact["email"].upper(), contact["external_id"], contact["id"]):
        assert await caller.ids(q=text) == only, text
    number = phonenumbers.parse(contact["phone"])
    international = phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL)
    for text in (contact["phone"], international, international.replace(" ", "."), international.replace("+", "00")):
        assert await caller.ids(q=text) == only, text
    if contact["country"] == REGION:
        assert await caller.ids(q=phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)) == only
    part = contact["phone"][-6:]
    expected = {id_ for id_, other in present.items() if part in f"{other['phone']} {other['email']} {id_}"}
    assert only[0] in await caller.ids(q=part)
    assert set(await caller.ids(q=part)) <= expected


# -- the past ---------------------------------------------------------------------------------------------------------


async def look_back(caller: Caller) -> None:
    """The history names every event, and the past shows what was answered then, by position and by time."""
    chance = random.Random(SEED)
    changed = [id_ for id_, events in caller.caused.items() if len(events) > 1]
    await gather(look_back_at(caller, id_) for id_ in chance.sample(changed, 80))


async def look_back_at(caller: Caller, id_: str) -> None:
    path = f"/v1/contacts/{id_}"
    entries = (await caller.get(f"{path}/history", sort="version"))["items"]
    assert [entry["event"] for entry in entries] == caller.caused[id_]
    assert [entry["version"] for entry in entries] == list(range(1, len(entries) + 1))
    for then in caller.answers[id_]:
        assert await caller.get(path, as_of=then.position) == then.body
        assert await caller.get(path, as_of=then.body["changed_at"]) == then.body
    before = f"0.{number_of(entries[0]['position']) - 1}"
    await caller.send("GET", f"{path}?as_of={before}", status=404)


# -- events -----------------------------------------------------------------------------------------------------------


def check_events(caller: Caller, subscriber: Subscriber) -> None:
    """Each event once, in order per contact, with nothing personal in it."""
    events = [subscriber.events[sequence] for sequence in sorted(subscriber.events)]
    assert len({event.body["id"] for event in events}) == len(events)
    told: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        if ".contact." in event.subject:
            told[event.body["subject"]].append(event)
    assert {id_: [event.subject.split(".", 4)[4] for event in seen] for id_, seen in told.items()} == caller.caused
    for seen in told.values():
        assert [event.body["version"] for event in seen] == list(range(1, len(seen) + 1))
    positions = [number_of(event.body["position"]) for event in events]
    assert positions == list(range(1, len(events) + 1)), "the whole log, in its order"
    check_nothing_personal("NATS", b"\n".join(event.data + repr(event[:3]).encode() for event in events))


async def read_what_an_event_tells(caller: Caller, subscriber: Subscriber) -> None:
    """The position of an event is good for reading what it is about."""
    for event in list(subscriber.events.values())[-40:]:
        contact = await caller.get(f"/v1/contacts/{event.body['subject']}", min_position=event.body["position"])
        assert contact["version"] >= event.body["version"]


def check_nothing_personal(where: str, data: bytes) -> None:
    text = data.decode(errors="replace")
    assert [canary for canary in PERSONAL if canary in text] == [], f"{where} tells personal data"


async def gather(work: Iterable[Awaitable[Any]]) -> list[Any]:
    """All of it at once; where one fails, the others are cancelled."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one) for one in work]  # type: ignore[arg-type]
    return [task.result() for task in tasks]
