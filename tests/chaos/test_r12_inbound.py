"""R12, the NATS side: bad input never crashes the ingest, and each message is dead-lettered with a reason, or recorded.

Messages of every form, mutated: bytes flipped, cut and doubled, JSON nested too deep, NUL, lone surrogates, numbers
that no machine holds, bodies too large, subjects and headers that are no text. They are written to the socket as bytes,
for no client library would send them. Between them go good ones, which must all be recorded. Planted bug: a reader that
does not know that nesting can be too deep.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

import msgspec
import pytest

from contacts_bridge.inbox import ingest, message
from contacts_bridge.inbox.ingest import Ingest
from rollbook.embedded.nats import Nats
from tests.chaos.support.report import Report, figure
from tests.integration.bridge.inbox_rig import InboxRig, body, open_rig

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(0)]

MUTATED: Final = figure(5_000, 100_000)
#: Enough for a planted bug to show.
MUTATED_WITH_BUG: Final = 300
#: One good message among so many.
GOOD_EVERY: Final = 50
LARGE: Final = 300_000

#: Subject, headers (a whole block or nothing), body.
Wire = tuple[bytes, bytes, bytes]


class Counting(Ingest):
    """Tells how often it had to begin anew."""

    beginnings = 0

    async def _connected(self) -> NoReturn:
        Counting.beginnings += 1
        await super()._connected()


class Mutator:
    def __init__(self, rig: InboxRig, pick: random.Random, name: str) -> None:
        self._rig = rig
        self._name = name
        self._pick = pick
        self._number = 0

    def good(self) -> Wire:
        self._number += 1
        return self._wire(body(f"{self._name}-good-{self._number}"))

    def bad(self) -> Wire:
        self._number += 1
        made = body(f"{self._name}-bad-{self._number}", data={"channel": "email", "properties": {"a": [1, "x"]}})
        return self._pick.choice((self._flipped, self._wrong_value, self._deep, self._headers, self._subject))(made)

    def _wire(self, made: dict[str, Any]) -> Wire:
        return self._rig.subject(made["type"]).encode(), b"", msgspec.json.encode(made)

    def _flipped(self, made: dict[str, Any]) -> Wire:
        subject, headers, data = self._pick.choice((self._wire, self._structured, self._binary))(made)
        raw = bytearray(data)
        for _ in range(self._pick.randrange(1, 4)):
            place = self._pick.randrange(len(raw))
            match self._pick.randrange(4):
                case 0:
                    raw[place] = self._pick.randrange(256)
                case 1:
                    del raw[place:]
                    raw += b" "
                case 2:
                    raw[place:place] = raw[place : place + 20]
                case _:
                    raw[place:place] = self._pick.choice((b"\0", b"\xff\xfe", b"\xed\xa0\x80", b"\\ud800", b"\\u0000"))
        return subject, headers, bytes(raw)

    def _wrong_value(self, made: dict[str, Any]) -> Wire:
        value: Any = self._pick.choice(
            (
                None, True, -1, 10**400, 1e308, "", "\0", "x" * 20_000, [], {}, [[]], {"a": {"b": {}}},
                "\u202e", "9999-99-99", "2026-02-30T25:61:61Z", "-" * 300,
            )
        )  # fmt: skip
        place = self._pick.choice((made, made["contact"], made["data"], made["data"]["properties"]))
        place[self._pick.choice([*place, "new", "", "\0"])] = value
        subject = self._rig.subject("message.clicked").encode()
        text = msgspec.json.encode(made) if not isinstance(value, int) else self._big(made)
        return subject, b"", text

    @staticmethod
    def _big(made: dict[str, Any]) -> bytes:
        return json.dumps(made).encode()

    def _deep(self, made: dict[str, Any]) -> Wire:
        depth = self._pick.choice((7, 100, 5_000, 60_000))
        nested = b"[" * depth + b"]" * depth if self._pick.random() < 0.5 else b'{"a":' * depth + b"1" + b"}" * depth
        data = msgspec.json.encode(made).replace(b'[1,"x"]', nested)
        if self._pick.random() < 0.05:
            data = data.replace(b'"a":', b'"b":"' + b"y" * LARGE + b'","a":', 1)
        return self._rig.subject(made["type"]).encode(), b"", data

    def _headers(self, made: dict[str, Any]) -> Wire:
        subject, headers, data = self._pick.choice((self._structured, self._binary))(made)
        raw = bytearray(headers[:-4])
        match self._pick.randrange(4):
            case 0:
                raw += b"\r\nX: \xff\xfe"
            case 1:
                raw[9:9] = b" \xff\xff bad"
            case 2:
                raw += b"\r\nno colon here"
            case _:
                raw[self._pick.randrange(12, len(raw))] = self._pick.randrange(32, 256)
        return subject, bytes(raw) + b"\r\n\r\n", data

    def _subject(self, made: dict[str, Any]) -> Wire:
        _, headers, data = self._wire(made)
        workspace = str(self._rig.workspace_id).encode()
        subject = self._pick.choice(
            (
                b"rollbook.inbox.v1." + workspace + b".\xff\xfe", b"rollbook.inbox.v1.\xc3\x28.message.clicked",
                b"rollbook.inbox.v1." + workspace, b"rollbook.inbox.v1." + workspace + b".message",
                b"rollbook.inbox.v1." + workspace + b".message.clicked.more", b"rollbook.inbox.v1.x",
                b"rollbook.inbox.v1." + b"f" * 500 + b".message.clicked",
                b"rollbook.inbox.v1." + workspace.upper() + b".message.exploded",
            )
        )  # fmt: skip
        return subject, headers, data

    def _structured(self, made: dict[str, Any]) -> Wire:
        subject, _, data = self._wire({**made, "specversion": "1.0"})
        return subject, _block({"Content-Type": "application/cloudevents+json"}), data

    def _binary(self, made: dict[str, Any]) -> Wire:
        names = {"specversion": "1.0", **{k: made[k] for k in ("id", "source", "type", "time")}, "externalid": "c-0"}
        headers = {"Content-Type": "application/json", **{f"ce-{name}": value for name, value in names.items()}}
        subject, _, _ = self._wire(made)
        return subject, _block(headers), msgspec.json.encode(made["data"])


def _block(headers: dict[str, str]) -> bytes:
    return b"NATS/1.0\r\n" + b"".join(f"{k}: {v}\r\n".encode() for k, v in headers.items()) + b"\r\n"


async def write(nats_url: str, messages: Sequence[Wire]) -> None:
    """To the socket as they are."""
    url = urlsplit(nats_url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    try:
        await reader.readline()
        options = {"verbose": False, "headers": True, "pedantic": False, "user": url.username, "pass": url.password}
        writer.write(b"CONNECT " + msgspec.json.encode(options) + b"\r\nPING\r\n")
        assert await reader.readline() == b"PONG\r\n"
        for start in range(0, len(messages), 100):
            for subject, headers, data in messages[start : start + 100]:
                command = b"HPUB %s %d %d\r\n" % (subject, len(headers), len(headers) + len(data))
                if not headers:
                    command = b"PUB %s %d\r\n" % (subject, len(data))
                writer.write(command + headers + data + b"\r\n")
            writer.write(b"PING\r\n")
            await writer.drain()
            while (said := await reader.readline()) != b"PONG\r\n":
                assert said, "the server hung up"
    finally:
        writer.close()


async def send_mutated(database: str, nats: Nats, pick: random.Random, name: str, mutated: int) -> dict[str, int]:
    """What became of them. Raises AssertionError where one was lost, had no good reason, or stopped the others."""
    Counting.beginnings = 0
    async with open_rig(database, nats.url) as rig:
        await rig.begin()
        await rig.create(external_id="c-0")
        await rig.start(Counting, ack_wait_s=5)
        mutator = Mutator(rig, pick, name)
        messages: list[Wire] = []
        for n in range(mutated):
            messages.append(mutator.bad())
            if n % GOOD_EVERY == 0:
                messages.append(mutator.good())
        await write(nats.url, messages)
        await rig.empty(timeout_s=60)
        async with rig.client() as client:
            stored = (await client.jetstream().stream_info("ROLLBOOK_INBOX")).state.last_seq
        recorded = await rig.recorded()
        letters = await rig.letters()
        counts = rig.figures.counts
    good = [id_ for id_ in recorded if id_.startswith(f"{name}-good-")]
    assert len(good) == -(-mutated // GOOD_EVERY)
    assert max(recorded.values()) == 1
    assert Counting.beginnings == 1, "the ingest had to begin anew"
    assert {letter.reason.code for letter in letters} <= {"invalid-input", "contact-unknown", "workspace-not-found"}
    assert all(letter.reason.detail for letter in letters)
    assert len(letters) == counts["dead"]
    assert sum(counts.values()) == stored == len(messages)
    return {"messages": stored, **{str(fate): count for fate, count in counts.items()}}


async def test_whatever_is_sent_is_recorded_or_dead_with_a_reason(
    database: str, private_nats: Callable[..., Nats], chaos_report: Callable[[str], Report],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    report = chaos_report("R12 (NATS)")
    pick = random.Random(report.seed)
    report.add(await send_mutated(database, await asyncio.to_thread(private_nats), pick, "real", MUTATED))
    # The planted bug: that JSON can be nested too deep was not thought of.
    monkeypatch.setattr(message, "_UNREADABLE", (msgspec.MsgspecError, UnicodeDecodeError))
    monkeypatch.setattr(ingest, "TRY_AGAIN_S", 0.05)
    with pytest.raises(AssertionError, match="internal-error"):
        await send_mutated(database, await asyncio.to_thread(private_nats), pick, "planted", MUTATED_WITH_BUG)
    report.add({"planted bug caught": 1})
    report.finish()
