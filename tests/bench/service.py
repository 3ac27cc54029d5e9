"""May-send over NATS at a fixed rate, beside a responder that does nothing: what the micro service adds to nats-py."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import msgspec
import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from contacts_api.micro.verbs import subject_of
from tests.bench.harness import QUICK, Figures, figures, median, print_goal, print_table
from tests.bench.http import cpu_s, stack

RATE = 500
SECONDS = 2.0 if QUICK else 10.0
ROUNDS = 1 if QUICK else 3
PEOPLE = 200
GOAL_MS = 5.0
NO_OP = "bench.nothing"


async def run() -> bool:
    async with stack() as running:
        client = await nats.connect(running["nats"])
        responder = await nats.connect(running["nats"])
        workspace, headers = UUID(running["workspace"]), {"Rollbook-Key": running["api_key"]}

        async def ask(verb: str, body: Any) -> Any:
            reply = await client.request(
                subject_of(verb, workspace), msgspec.json.encode(body), timeout=30, headers=headers
            )
            assert "Nats-Service-Error" not in reply.headers, reply.data
            return msgspec.json.decode(reply.data)

        emails = [f"person.{number}@example.com" for number in range(PEOPLE)]
        for email in emails:
            made = await ask("contacts.create", {"email": email})
            if len(email) % 2:
                await ask("contacts.unsubscribe", {"contact_id": made["id"], "channel": "email", "reason": "asked"})

        async def nothing(message: Msg) -> None:
            await message.respond(message.data)

        await responder.subscribe(NO_OP, cb=nothing)
        await responder.flush()
        api_pid = running["pids"]["api"]
        before = cpu_s(api_pid)
        measured = {
            "may-send, one address": [
                await _at_rate(lambda n: ask("may-send", {"channel": "email", "addresses": [emails[n % PEOPLE]]}))
                for _ in range(ROUNDS)
            ]
        }
        spent_us = (cpu_s(api_pid) - before) / (ROUNDS * SECONDS * RATE) * 1e6
        measured["a responder that does nothing"] = [
            await _at_rate(lambda _: client.request(NO_OP, b"{}", timeout=30, headers=headers)) for _ in range(ROUNDS)
        ]
        await _close(client, responder)
    rows = [
        [
            name,
            f"{(m := median(rounds)).p50_ms:.2f}",
            f"{m.p99_ms:.2f}",
            f"{spent_us:.0f}" if "may-send" in name else "",
        ]
        for name, rounds in measured.items()
    ]
    print_table(
        f"Requests over NATS at {RATE}/s, open loop, all on this machine", ["", "p50 ms", "p99 ms", "API µs"], rows
    )
    asked = median(measured["may-send, one address"])
    return print_goal(f"may-send at {RATE}/s, p99", asked.p99_ms, GOAL_MS, at_least=False, unit="ms")


async def _at_rate(operation: Callable[[int], Awaitable[object]]) -> Figures:
    """Begins operations at their times whatever became of earlier ones; latencies count from those times."""
    latencies: list[float] = []
    began = time.perf_counter()

    async def one(number: int) -> None:
        due = began + number / RATE
        await operation(number)
        latencies.append(time.perf_counter() - due)

    tasks = []
    for number in range(int(SECONDS * RATE)):
        if (wait := began + number / RATE - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        tasks.append(asyncio.create_task(one(number)))
    await asyncio.gather(*tasks)
    return figures(latencies, len(latencies) / (time.perf_counter() - began))


async def _close(*clients: Client) -> None:
    for client in clients:
        await client.close()
