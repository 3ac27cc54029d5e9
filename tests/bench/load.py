"""A lean HTTP/1.1 client in a process of its own: keeps N requests in flight or sends at a fixed rate; prints JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import time
from typing import Any
from uuid import uuid4

import msgspec
import uvloop

_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_POSITION = re.compile(rb"rollbook-position: (\S+)", re.IGNORECASE)
_LOCATION = re.compile(rb"location: (\S+)", re.IGNORECASE)


def body() -> bytes:
    """A new person each time, in the shape that a shop or a form sends; as likely to be a duplicate as people are."""
    name = uuid4().hex
    first, last = _name(2), _name(3)
    return msgspec.json.encode(
        {
            "external_id": f"crm-{name}", "first_name": f"Zoë {first}", "last_name": f"Müller-{last}",
            "email": f"{first}.{last}.{name[:6]}@example.org", "phone": f"+49 30 {random.randrange(10**7, 10**8)}",
            "country": "DE", "language": "de-DE", "time_zone": "Europe/Berlin", "tags": ["newsletter", "vip"],
            "consent_attested": True,
        }
    )  # fmt: skip


def _name(syllables: int) -> str:
    return "".join(random.choice("bdfghklmnprstvwz") + random.choice("aeiou") for _ in range(syllables))


class Connection:
    """One kept-alive connection, one request at a time."""

    def __init__(self, port: int, key: str) -> None:
        self._port = port
        self._head = f"Host: 127.0.0.1\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n".encode()

    async def open(self) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)

    async def request(self, line: str, payload: bytes = b"", more: bytes = b"") -> tuple[int, bytes, bytes]:
        """(status, head, body)."""
        length = f"Content-Length: {len(payload)}\r\n\r\n".encode()
        self._writer.write(f"{line} HTTP/1.1\r\n".encode() + self._head + more + length + payload)
        head = await self._reader.readuntil(b"\r\n\r\n")
        found = _LENGTH.search(head)
        content = await self._reader.readexactly(int(found[1])) if found else b""
        return int(head[9:12]), head, content

    def close(self) -> None:
        self._writer.close()


async def closed(port: int, key: str, path: str, in_flight: int, seconds: float) -> dict[str, Any]:
    until = time.perf_counter() + seconds
    latencies: list[float] = []
    refused: dict[int, int] = {}

    async def loop() -> None:
        connection = Connection(port, key)
        await connection.open()
        while (begin := time.perf_counter()) < until:
            status, _, _ = await connection.request(f"POST {path}", body())
            if status == 201:
                latencies.append(time.perf_counter() - begin)
            else:
                refused[status] = refused.get(status, 0) + 1
        connection.close()

    started = time.perf_counter()
    await asyncio.gather(*(loop() for _ in range(in_flight)))
    return {"latencies": latencies, "seconds": time.perf_counter() - started, "refused": refused}


async def visible(port: int, key: str, rate: int, seconds: float) -> dict[str, Any]:
    """Write, then read it with the write's position: measured from the first byte to the second answer."""
    latencies: list[float] = []
    refused: dict[int, int] = {}
    idle: list[Connection] = []

    async def once() -> None:
        connection = idle.pop() if idle else Connection(port, key)
        if not hasattr(connection, "_reader"):
            await connection.open()
        begin = time.perf_counter()
        status, head, content = await connection.request("POST /v1/contacts", body())
        if status == 201:
            position = _POSITION.search(head)
            assert position is not None
            contact_id = json.loads(content)["id"]
            status, _, content = await connection.request(
                f"GET /v1/contacts/{contact_id}", more=b"Rollbook-Min-Position: " + position[1] + b"\r\n"
            )
            if status == 200 and contact_id.encode() in content:
                latencies.append(time.perf_counter() - begin)
                idle.append(connection)
                return
        refused[status] = refused.get(status, 0) + 1
        connection.close()

    tasks = []
    begin = time.perf_counter()
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, begin + number / rate - time.perf_counter()))
        tasks.append(asyncio.create_task(once()))
    await asyncio.gather(*tasks)
    return {"latencies": latencies, "seconds": time.perf_counter() - begin, "refused": refused}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=("closed", "visible"))
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--path", default="/v1/contacts")
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--rate", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=5)
    asked = parser.parse_args()
    if asked.mode == "closed":
        result = uvloop.run(closed(asked.port, asked.key, asked.path, asked.in_flight, asked.seconds))
    else:
        result = uvloop.run(visible(asked.port, asked.key, asked.rate, asked.seconds))
    latencies = sorted(result.pop("latencies")) or [float("nan")]
    print(
        json.dumps(
            result
            | {
                "count": len(latencies),
                "p50_ms": latencies[len(latencies) // 2] * 1e3,
                "p99_ms": latencies[int(len(latencies) * 0.99)] * 1e3,
            }
        )
    )


if __name__ == "__main__":
    main()
