"""The traffic of `rollbook simulate` is what the inbox takes, and as uneven as real traffic."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec

from contacts.activity.data import parse_data
from contacts.contact.input import NewContactInput
from contacts_bridge.inbox.message import Raw, read
from rollbook.traffic import Inbound, Traffic

NOW = datetime(2026, 11, 22, tzinfo=UTC)
SHOP = UUID(int=1)


def made(count: int, *, people: int = 50) -> list[Inbound]:
    traffic = Traffic(7, people, run=UUID(int=7))
    return [traffic.next(NOW + timedelta(milliseconds=5 * number)) for number in range(count)]


def test_every_message_is_one_that_the_inbox_takes() -> None:
    for message in made(3_000):
        subject = f"rollbook.inbox.v1.{SHOP}.{message.kind}".encode()
        inbound = read(Raw(subject, b"", b"", msgspec.json.encode(message.body)))
        if inbound.is_upsert:
            msgspec.convert(inbound.sent.data, NewContactInput)
        else:
            parse_data(message.kind, inbound.sent.data)


def test_people_come_first_and_then_do_all_kinds_of_things() -> None:
    messages = made(5_000)
    kinds = Counter(message.kind.partition(".")[0] for message in messages)
    assert messages[0].kind == "contact.upsert"
    assert kinds["contact"] <= 55
    assert kinds.keys() == {"contact", "message", "web", "order", "conversation"}
    known = {message.body["contact"]["email"] for message in messages if message.kind == "contact.upsert"}
    assert {message.body["contact"]["email"] for message in messages} == known


def test_some_come_twice_and_some_late() -> None:
    messages = made(5_000)
    ids = Counter(message.body["id"] for message in messages)
    assert 50 < sum(count - 1 for count in ids.values()) < 200
    late = [each for each in messages if datetime.fromisoformat(each.body["time"]) < NOW]
    assert 50 < len(late) < 200


def test_another_run_brings_other_people_and_ids() -> None:
    bodies = []
    for number in (1, 2):
        traffic = Traffic(7, 10, run=UUID(int=number))
        bodies.append([traffic.next(NOW).body for _ in range(20)])
    first, second = bodies
    assert not {body["id"] for body in first} & {body["id"] for body in second}
    assert not {body["contact"]["email"] for body in first} & {body["contact"]["email"] for body in second}
