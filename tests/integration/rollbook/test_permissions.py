"""Each user of NATS may do its own work and nothing else, on a real server with the configuration that is shipped."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import nats
import pytest
from nats.aio.client import Client
from nats.js.api import ConsumerConfig

from contacts_bridge.broker import Broker
from contacts_bridge.definitions import EVENTS, ensure_stream, events_stream
from rollbook.embedded.binaries import nats_server
from rollbook.embedded.nats import Nats
from rollbook.embedded.permissions import SERVICES, integrator
from rollbook.embedded.process import free_port
from rollbook.nats_config import configuration
from tests.support.examples import FOLDER, Following, written
from tests.support.waiting import until, until_sync

OURS, THEIRS = (UUID(f"01900000-0000-7000-8000-00000000000{number}") for number in (1, 2))
SHOP = integrator("shop", OURS)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """A server with the shipped configuration and one integrator; answers with a user's URL."""
    folder, port = tmp_path_factory.mktemp("nats"), free_port()
    text = configuration([*SERVICES, SHOP]).replace("port: 4222", f"host: 127.0.0.1\nport: {port}")
    (folder / "nats.conf").write_text(text.replace("/data", json.dumps(str(folder / "data"))))
    passwords = {f"ROLLBOOK_NATS_{name}_PASSWORD": f"p{name}" for name in ("ROLLBOOK", "API", "BRIDGE", "SHOP")}
    arguments = [str(nats_server()), "-c", str(folder / "nats.conf")]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(arguments, env=passwords, stderr=log)
    until_sync(lambda: b"Server is ready" in (folder / "log").read_bytes(), what="nats-server is ready")
    yield lambda user: f"nats://{user}:p{user.upper()}@127.0.0.1:{port}"
    server.terminate()
    server.wait()


@contextlib.asynccontextmanager
async def user(url: str, name: str) -> AsyncIterator[tuple[Client, list[str]]]:
    """A connection, and what the server refused to it."""
    refused: list[str] = []

    async def failed(error: Exception) -> None:
        refused.append(str(error).lower())

    client = await nats.connect(url, error_cb=failed, inbox_prefix=f"_INBOX_{name}", allow_reconnect=False)
    try:
        yield client, refused
    finally:
        await client.close()


#: Where a service works for every workspace: the API sends dead letters back to the inbox they came from.
OWN: Final[dict[str, tuple[str, ...]]] = {
    "bridge": ("rollbook.events.", "rollbook.inbox."),
    "api": ("rollbook.inbox.",),
    "shop": (),
}
ELSEWHERE: Final = (
    "anything",
    f"rollbook.events.v1.{THEIRS}.contact.created",
    f"rollbook.inbox.v1.{THEIRS}.message.clicked",
    f"rollbook.svc.v1.{THEIRS}.contacts.get",
    "$JS.API.STREAM.DELETE.ROLLBOOK_EVENTS",
    "$JS.API.STREAM.PURGE.ROLLBOOK_EVENTS",
    "$JS.API.STREAM.MSG.DELETE.ROLLBOOK_EVENTS",
    "$JS.API.STREAM.CREATE.OTHER",
    "$JS.API.CONSUMER.CREATE.ROLLBOOK_EVENTS.all.rollbook.events.v1.>",
    "$JS.API.CONSUMER.MSG.NEXT.ROLLBOOK_EVENTS.other",
    "_INBOX_other.1",
)


@pytest.mark.parametrize(
    ("name", "subject"),
    [(name, subject) for name, own in OWN.items() for subject in ELSEWHERE if not subject.startswith(own)],
)
async def test_a_user_publishes_nowhere_else(shipped: Callable[[str], str], name: str, subject: str) -> None:
    async with user(shipped(name), name) as (client, refused):
        await client.publish(subject, b"{}")
        await client.flush()
        await until(lambda: any("permissions violation" in each for each in refused))


@pytest.mark.parametrize("name", ["api", "bridge", "shop"])
@pytest.mark.parametrize("subject", [">", "_INBOX.>", "$JS.>", f"rollbook.events.v1.{THEIRS}.>", "rollbook.inbox.v1.>"])
async def test_a_user_hears_nothing_else(shipped: Callable[[str], str], name: str, subject: str) -> None:
    async with user(shipped(name), name) as (client, refused):
        await client.subscribe(subject)
        await client.flush()
        await until(lambda: any("permissions violation" in each for each in refused))


async def test_a_question_of_an_integrator_is_answered_by_the_api_alone(shipped: Callable[[str], str]) -> None:
    async with user(shipped("api"), "api") as (api, refused), user(shipped("shop"), "shop") as (shop, _):

        async def answer(message: Any) -> None:
            await message.respond(b"yes")
            await message.respond(b"once more")

        await api.subscribe("rollbook.svc.v1.*.may-send", queue="rollbook", cb=answer)
        await api.flush()
        assert (await shop.request(f"rollbook.svc.v1.{OURS}.may-send", timeout=5)).data == b"yes"
        await until(lambda: refused, what="a second answer is refused")


async def test_an_integrator_reads_the_events_of_its_workspace(shipped: Callable[[str], str]) -> None:
    broker = await Broker.connect(shipped("bridge"), name="test")
    try:
        await ensure_stream(broker, events_stream(max_bytes=64 << 20))
        for workspace in (THEIRS, OURS):
            await broker.request(f"rollbook.events.v1.{workspace}.contact.created", str(workspace).encode())
    finally:
        await broker.close()
    async with user(shipped("shop"), "shop") as (shop, refused):
        stream, mine = shop.jetstream(), f"rollbook.events.v1.{OURS}.>"
        await stream.add_consumer(EVENTS, ConsumerConfig(durable_name="shop", filter_subject=mine, name="shop"))
        subscription = await stream.pull_subscribe_bind("shop", stream=EVENTS)
        (message,) = await subscription.fetch(1, timeout=5)
        await message.ack()
        await shop.flush()
        assert (message.data, refused) == (str(OURS).encode(), [])


async def test_the_consumer_of_the_examples_needs_no_more(shipped: Callable[[str], str], tmp_path: Path) -> None:
    broker = await Broker.connect(shipped("bridge"), name="test")
    try:
        await ensure_stream(broker, events_stream(max_bytes=64 << 20))
        event = {"id": "1", "subject": "somebody", "version": 1}
        await broker.request(f"rollbook.events.v1.{OURS}.contact.created", json.dumps(event).encode())
    finally:
        await broker.close()
    environment = {**os.environ, "ROLLBOOK_NATS_URL": shipped("shop"), "ROLLBOOK_WORKSPACE": str(OURS)}
    following = Following([sys.executable, str(FOLDER / "python" / "consumer.py")], environment, tmp_path / "events")
    try:
        await until(lambda: any(each.get("subject") == "somebody" for each in written(tmp_path / "events")))
    finally:
        following.stop()


async def test_the_embedded_server_has_the_same_users(private_nats: Callable[..., Nats], tmp_path: Path) -> None:
    server = await asyncio.to_thread(private_nats)
    for each in SERVICES:
        async with user(server.url_of(each.name), each.name) as (client, refused):
            await client.publish(f"somewhere.{uuid4()}", b"")
            await client.flush()
            await until(lambda refused=refused: len(refused) == 1)
