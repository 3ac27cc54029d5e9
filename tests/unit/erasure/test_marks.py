"""What a person was known by is found again in a message, however it is written there, and nobody else is."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import blake2b
from time import process_time
from typing import Any
from uuid import UUID

import msgspec
import pytest

from contacts.contact.state import Channel, Contact
from contacts.emails import parse_email
from contacts.erasure.marks import Marks
from contacts.phones import parse_phone
from contacts.values import ExternalId

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
ANN = Contact(
    id=ID,
    version=1,
    external_id=ExternalId("c-7"),
    messaging_id=ExternalId("m 7"),
    email=parse_email("Ann.Lee@gmail.com"),
    phone=parse_phone("+48229876543", None),
    channels=(
        Channel(kind="telegram", token="tg7", first_seen_at=NOON, last_seen_at=NOON),
        Channel(kind="whatsapp", token="48601002003", first_seen_at=NOON, last_seen_at=NOON),
    ),
)


def hmac(purpose: str, text: str) -> bytes:
    return blake2b(f"{purpose}\0{text}".encode(), digest_size=16).digest()


MARKS = Marks(hmac)


def named(data: bytes, headers: dict[str, str] | None = None, region: str | None = "PL") -> bool:
    return not MARKS.of_contact(ANN).isdisjoint(MARKS.of_message(data, headers or {}, region))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "said",
    [
        {"contact": {"id": str(ID)}},
        {"contact": {"external_id": "c-7"}},
        {"contact": {"externalId": "c-7"}},
        {"contact": {"messaging_id": " m 7"}},
        {"contact": {"email": "annlee+shop@googlemail.com"}},
        {"contact": {"phone": "22 987 65 43"}},
        {"data": {"text": "call me: +48 22 987-65-43 please"}},
        {"data": {"note": "write to ann.lee@gmail.com."}},
        {"data": {"phone": 48229876543}},
        {"contact": {"channel": {"kind": "telegram", "token": "tg7"}}},
        {"contact": {"phone": "+48 601 002 003"}},
        {"ann.lee@gmail.com": 1},
        [[{"subject": str(ID).upper()}]],
    ],
)
def test_a_message_that_names_the_person_is_found(said: Any) -> None:
    assert named(msgspec.json.encode(said))


@pytest.mark.parametrize(
    "junk",
    [
        b'{"contact": {"email": "ann.lee@gmail.com"',
        b"\xff\xfe external_id=c-7&x=1",
        b'{"contact": {"external_id": "c-7", ...',
        b"<phone>+48229876543</phone>",
    ],
)
def test_it_is_found_in_what_nobody_can_read_as_well(junk: bytes) -> None:
    assert named(junk)


def test_it_is_found_in_headers() -> None:
    assert named(b"{}", {"ce-email": "ann.lee@gmail.com"})
    assert named(b"", {"ce-externalid": "c-7"})


@pytest.mark.parametrize(
    "said",
    [
        {"contact": {"external_id": "c-77"}},
        {"contact": {"email": "ann@gmail.com"}, "data": {"order": "c-7"}},
        {"data": {"kind": "tg7", "phone": "22 987 65 44"}},
        {"id": "e-1", "source": "shop", "time": "2026-03-01T12:00:00Z"},
    ],
)
def test_nobody_else_is_found(said: Any) -> None:
    assert not named(msgspec.json.encode(said))


def test_a_message_made_up_to_be_slow_is_not() -> None:
    began = process_time()
    for piece in (b"a", b"1", b"token:"):
        MARKS.of_message(piece * (250_000 // len(piece)), {}, None)
    assert process_time() - began < 20
