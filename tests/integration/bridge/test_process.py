"""`python -m contacts_bridge` as a process: it relays, shows figures, says whether it is ready, and ends in time."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.request import urlopen

import pytest

from rollbook.embedded.process import free_port
from tests.integration.bridge.rig import Rig
from tests.support.waiting import until

MASTER_KEY = base64.b64encode(bytes(32)).decode()


class Bridge:
    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self._port = port

    def page(self, path: str) -> str:
        with urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=2) as answer:
            return str(answer.read().decode())

    async def ready(self) -> bool:
        try:
            return json.loads(await asyncio.to_thread(self.page, "/readyz"))["status"] == "ready"
        except OSError:
            return False

    async def stop_s(self) -> float:
        """Seconds from SIGTERM to the end."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(self.process.wait(), 10)
        return time.monotonic() - began


StartBridge = Callable[[], Awaitable[Bridge]]


@pytest.fixture
async def bridge(rig: Rig, database: str) -> AsyncIterator[StartBridge]:
    started: list[Bridge] = []

    async def start() -> Bridge:
        port = free_port()
        environment = {
            "PATH": os.environ["PATH"],
            "ROLLBOOK_DATABASE_URL": database,
            "ROLLBOOK_NATS_URL": rig.server.url,
            "ROLLBOOK_MASTER_KEY": MASTER_KEY,
            "ROLLBOOK_METRICS_PORT": str(port),
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "contacts_bridge", env=environment, stdout=asyncio.subprocess.PIPE
        )
        started.append(Bridge(process, port))
        return started[-1]

    yield start
    for each in started:
        if each.process.returncode is None:
            each.process.kill()
        await each.process.communicate()


async def test_the_process_relays_and_ends_in_time(rig: Rig, bridge: StartBridge) -> None:
    await rig.contact(edits=2)
    running = await bridge()
    await until(running.ready, timeout_s=20)
    await rig.contact(edits=2)
    await rig.caught_up()

    figures = await asyncio.to_thread(running.page, "/metrics")
    assert "rollbook_relay_events_total 6.0" in figures
    assert 'rollbook_relay_state{state="at work"} 1.0' in figures
    assert 'rollbook_relay_lag_events{lane="0"}' in figures

    assert await running.stop_s() < 2
    assert running.process.returncode == 0


async def test_the_process_ends_in_time_while_nats_does_not_answer(rig: Rig, bridge: StartBridge) -> None:
    running = await bridge()
    await until(running.ready, timeout_s=20)
    rig.server.pause()
    await rig.contact(edits=20)

    took_s = await running.stop_s()
    rig.server.resume()

    assert took_s < 2
    assert running.process.returncode == 0


async def test_a_killed_process_is_followed_by_one_that_goes_on(rig: Rig, bridge: StartBridge) -> None:
    first = await bridge()
    await until(first.ready, timeout_s=20)
    await rig.contact(edits=20)
    first.process.kill()
    await first.process.wait()
    await rig.contact(edits=20)

    await bridge()
    stored = await rig.caught_up(timeout_s=20)

    assert [message.id for message in stored] == [event_id for event_id, _ in await rig.logged()]
