"""`rollbook events tail`: the public events as the stream ROLLBOOK_EVENTS holds them, one readable line each."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import msgspec
import nats
import nats.errors
import nats.js.errors
import rich_click as click
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from rollbook.context import data_dir_option, fail, run, settings_of
from servicekit.connect import hang_up

STREAM: Final = "ROLLBOOK_EVENTS"
SUBJECT: Final = "rollbook.events.v1"
LAST: Final = 20
BATCH: Final = 200
#: How long one request waits for messages; also how soon an end of the connection is noticed.
WAIT_S: Final = 1.0
#: JetStream removes the consumer of a tail that went away.
CONSUMER_KEPT_S: Final = 30.0


@click.group()
def events() -> None:
    """Look at the events that Rollbook publishes over NATS."""


@events.command()
@data_dir_option
@click.option("--workspace", type=click.UUID, help="Only the events of this workspace.")
@click.option(
    "--from", "first", type=click.IntRange(1), help=f"First position to show.  [dim]\\[default: the last {LAST}][/]"
)
@click.option("--follow", "-f", is_flag=True, help="Go on with new events until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="The messages themselves, one per line.")
def tail(data_dir: Path | None, workspace: UUID | None, first: int | None, follow: bool, as_json: bool) -> None:
    """Show published events: position, time, event, contact, version and what changed."""
    url = settings_of(data_dir, needed=["nats_url"]).nats_url
    try:
        run(print_events(url, workspace=workspace, first=first, follow=follow, as_json=as_json))
    except (KeyboardInterrupt, BrokenPipeError):
        # A pager that was closed has seen enough; what is still buffered must not fail at exit.
        sys.stderr.close()


async def print_events(
    url: str, *, workspace: UUID | None = None, first: int | None = None, follow: bool = False, as_json: bool = False
) -> None:
    """Prints to standard output; ends the program where there is no NATS or no stream."""
    try:
        client = await nats.connect(
            [part.strip() for part in url.split(",")], name="rollbook-events", max_reconnect_attempts=-1,
            allow_reconnect=follow, connect_timeout=5, error_cb=_ignore,
        )  # fmt: skip
    except (nats.errors.Error, OSError) as error:
        fail(f"NATS does not answer ({type(error).__name__}): is the stack running?")
    try:
        async for message in _selected(client, workspace, first, follow):
            sys.stdout.write(message.data.decode() if as_json else line(message.data, with_workspace=workspace is None))
            sys.stdout.write("\n")
            if not message.metadata.num_pending:
                sys.stdout.flush()
    except nats.js.errors.NotFoundError:
        fail("Nothing has been published yet: the bridge makes the stream when it starts")
    finally:
        await hang_up(client)


def line(data: bytes, *, with_workspace: bool) -> str:
    """One event in words. Its name is the `type` without prefix and version, as `contact.created`."""
    event: dict[str, Any] = msgspec.json.decode(data)
    time = str(event["time"]).partition(".")[0].replace("T", " ").removesuffix("Z")
    name = str(event["type"]).removeprefix("rollbook.").rpartition(".")[0]
    what = "erased" if event.get("erased") else _said(event.get("data") or {})
    where = f"  workspace={event['workspace']}" if with_workspace else ""
    return (
        f"{event['position']:>10}  {time}  {name:<28} {event['subject']}  v{event['version']:<4} {what}{where}".rstrip()
    )


def _said(data: dict[str, Any]) -> str:
    shown = {name: value for name, value in data.items() if value not in ([], None) and name != "values"}
    changed = ", ".join(shown.pop("changed", []))
    return "  ".join([changed, *(f"{name}={_short(value)}" for name, value in shown.items())]).strip()


def _short(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


async def _selected(client: Client, workspace: UUID | None, first: int | None, follow: bool) -> AsyncIterator[Msg]:
    state = (await client.jetstream().stream_info(STREAM)).state
    if first is not None:
        # Each message of a lane takes a sequence of its own, so that a position is never above its sequence.
        async for message in _from(client, workspace, first, state.last_seq, follow):
            if _position(message.data) >= first:
                yield message
        return
    start = state.first_seq if workspace else max(state.first_seq, state.last_seq - LAST + 1)
    kept: deque[Msg] = deque(maxlen=LAST)
    async for message in _from(client, workspace, start, state.last_seq, follow=False):
        kept.append(message)
    for message in kept:
        yield message
    if follow:
        async for message in _from(client, workspace, state.last_seq + 1, state.last_seq, follow=True):
            yield message


async def _from(client: Client, workspace: UUID | None, start: int, last: int, follow: bool) -> AsyncIterator[Msg]:
    """Messages from the sequence `start` on: those up to `last`, or without end."""
    interrupted = False
    while follow or start <= last:
        try:
            if interrupted:
                # A stream that lost its end, or was made anew, gives out the same sequences again.
                start = min(start, (await client.jetstream().stream_info(STREAM)).state.last_seq + 1)
            async for message in _consumed(client, workspace, start, follow):
                yield message
                start = message.metadata.sequence.stream + 1
            return
        except nats.errors.Error:
            if not follow or client.is_closed:
                raise
            # The server was restarted and has forgotten our consumer, or the stream is being made anew.
            interrupted = True
            await asyncio.sleep(WAIT_S)


async def _consumed(client: Client, workspace: UUID | None, start: int, follow: bool) -> AsyncIterator[Msg]:
    config = ConsumerConfig(
        ack_policy=AckPolicy.NONE, deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=max(start, 1),
        inactive_threshold=CONSUMER_KEPT_S, mem_storage=True,
    )  # fmt: skip
    subject = f"{SUBJECT}.{workspace or '*'}.>"
    subscription = await client.jetstream().pull_subscribe(subject, stream=STREAM, config=config)
    pending = (await subscription.consumer_info()).num_pending or 0
    while follow or pending:
        try:
            messages = await subscription.fetch(BATCH if follow else min(BATCH, pending), timeout=WAIT_S)
        except TimeoutError:  # nats-py's own, and now and then asyncio's, where the machine is busy
            await subscription.consumer_info()
            continue
        for message in messages:
            yield message
            pending = message.metadata.num_pending
    await subscription.unsubscribe()


def _position(data: bytes) -> int:
    return int(msgspec.json.decode(data)["position"].partition(".")[2])


async def _ignore(_: Exception) -> None:
    """What fails is told by the call that waits for it."""
