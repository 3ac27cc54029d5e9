"""`rollbook simulate`: inbound messages at a steady rate, until told to stop. What they say comes from `traffic.py`."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec
import nats
import nats.errors
import nats.js.errors
import rich_click as click
from nats.aio.client import Client
from nats.js import JetStreamContext
from uuid_utils.compat import uuid7

from rollbook.context import console, data_dir_option, fail, run, settings_of
from rollbook.folder import DataFolder
from rollbook.traffic import Inbound, Traffic
from servicekit.connect import hang_up

STREAM: Final = "ROLLBOOK_INBOX"
SUBJECT: Final = "rollbook.inbox.v1"
RATE: Final = 200
PEOPLE: Final = 500
IN_FLIGHT: Final = 256
TIMEOUT_S: Final = 5.0
TELL_EVERY_S: Final = 5.0


@click.command()
@data_dir_option
@click.option(
    "--rate",
    default=RATE,
    show_default=True,
    type=click.IntRange(1, 20_000),
    help="Messages a second.",
)
@click.option("--count", type=click.IntRange(1), help="Stop after so many.  [dim]\\[default: at Ctrl-C][/]")
@click.option(
    "--people", default=PEOPLE, show_default=True, type=click.IntRange(1, 1_000_000), help="Most people that come."
)
@click.option("--seed", default=7, show_default=True, help="The same number makes the same people.")
@click.option("--workspace", type=click.UUID, help="Where to.  [dim]\\[default: the running stack's][/]")
def simulate(
    data_dir: Path | None, rate: int, count: int | None, people: int, seed: int, workspace: UUID | None
) -> None:
    """Play the services around Rollbook: people come, get messages, visit, order and talk, over NATS.

    Some messages come twice and some late, as they do. Every run brings people of its own.
    """
    settings = settings_of(data_dir, needed=["nats_url"])
    running = DataFolder(settings.data_dir).running()
    target = workspace or settings.bootstrap_workspace or (running.workspace if running else None)
    if target is None:
        fail("Which workspace? Give --workspace, or start a stack with `rollbook up`")
    run(play(settings.nats_url, target, Traffic(seed, people, run=uuid7()), rate=rate, count=count))


async def play(url: str, workspace: UUID, traffic: Traffic, *, rate: int, count: int | None) -> None:
    """Sends until `count` are acknowledged or a signal says stop; ends the program where there is no inbox."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    client = await _connected(url)
    try:
        await client.jetstream().stream_info(STREAM)
        sender = _Sender(client, workspace)
        began = time.monotonic()
        await sender.send_all(traffic, rate, count, stop)
        seconds = time.monotonic() - began
    except nats.js.errors.NotFoundError:
        fail("There is no inbox: the bridge makes it when it starts")
    finally:
        await hang_up(client)
    sent = sender.counts.total()
    told = ", ".join(f"{number:,} {what}" for what, number in sender.counts.most_common() if what != "repeat")
    console.print(f"{sent:,} messages in {seconds:.0f} s ({sent / seconds:,.0f}/s): {told}", soft_wrap=True)
    console.print(
        f"{traffic.people:,} people; {sender.counts['repeat']:,} messages were repeats of earlier ones", soft_wrap=True
    )


class _Sender:
    def __init__(self, client: Client, workspace: UUID) -> None:
        self._stream: JetStreamContext = client.jetstream(timeout=TIMEOUT_S)
        self._workspace = workspace
        self.counts: Counter[str] = Counter()

    async def send_all(self, traffic: Traffic, rate: int, count: int | None, stop: asyncio.Event) -> None:
        """Each when its time has come; where NATS is slower than that, as fast as it takes them."""
        room = asyncio.Semaphore(IN_FLIGHT)
        began = told = time.monotonic()
        number = 0
        async with asyncio.TaskGroup() as group:
            while not stop.is_set() and number != count:
                wait_s = began + number / rate - time.monotonic()
                if wait_s > 0:
                    await asyncio.sleep(wait_s)
                await room.acquire()
                task = group.create_task(self._send(traffic.next(datetime.now(UTC)), stop))
                task.add_done_callback(lambda _: room.release())
                number += 1
                if time.monotonic() - told > TELL_EVERY_S:
                    told = time.monotonic()
                    console.print(f"{self.counts.total():,} messages, {traffic.people:,} people")

    async def _send(self, message: Inbound, stop: asyncio.Event) -> None:
        """Until it is stored: a repeat is recorded once, so that whether the first try arrived does not matter."""
        payload = msgspec.json.encode(message.body)
        while not stop.is_set():
            try:
                await self._stream.publish(f"{SUBJECT}.{self._workspace}.{message.kind}", payload)
                break
            except (nats.errors.Error, TimeoutError, OSError):
                await asyncio.sleep(0.5)
        else:
            return
        self.counts["repeat" if message.is_repeat else message.kind.partition(".")[0]] += 1


async def _connected(url: str) -> Client:
    async def ignore(_: Exception) -> None:
        """Whoever waits for an answer is told."""

    try:
        return await nats.connect(
            [part.strip() for part in url.split(",")], name="rollbook-simulate", connect_timeout=5,
            max_reconnect_attempts=-1, reconnect_time_wait=0.5, error_cb=ignore, allow_reconnect=True,
        )  # fmt: skip
    except (nats.errors.Error, OSError) as error:
        fail(f"NATS does not answer ({type(error).__name__}): is the stack running?")
