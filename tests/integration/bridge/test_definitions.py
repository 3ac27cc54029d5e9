"""Streams as code: made, brought up to date, left alone where an operator decided, refused where they cannot serve."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from contacts_bridge.broker import Broker
from contacts_bridge.definitions import EVENTS, ensure_stream, events_stream
from contacts_bridge.errors import BrokerTooOld, BrokerUnavailable, StreamMismatch
from rollbook.embedded.nats import Nats

MB = 1 << 20
WANTED = events_stream(max_bytes=128 * MB)


@pytest.fixture
async def broker(private_nats: Callable[..., Nats]) -> AsyncIterator[Broker]:
    nats = await asyncio.to_thread(private_nats, max_file_store_bytes=512 * MB)
    connected = await Broker.connect(nats.url, name="test")
    yield connected
    await connected.close()


async def config(broker: Broker) -> dict[str, Any]:
    found: dict[str, Any] = (await broker.api(f"STREAM.INFO.{EVENTS}"))["config"]
    return found


async def test_the_stream_is_made_as_defined_and_making_it_again_changes_nothing(broker: Broker) -> None:
    await ensure_stream(broker, WANTED)
    made = await config(broker)
    await ensure_stream(broker, WANTED)

    assert await config(broker) == made
    assert made["max_bytes"] == 128 * MB
    for key, value in {**WANTED.fixed, **WANTED.managed, **WANTED.initial}.items():
        assert made[key] == value, key


async def test_what_the_relay_needs_is_put_right_and_what_an_operator_chose_is_kept(broker: Broker) -> None:
    await ensure_stream(broker, WANTED)
    chosen = {"max_bytes": 200 * MB, "compression": "none", "description": "ours", "metadata": {"team": "crm"}}
    spoilt = {"allow_atomic": False, "max_age": 3_600_000_000_000, "subjects": ["orders.>"]}
    await broker.api(f"STREAM.UPDATE.{EVENTS}", {**await config(broker), **chosen, **spoilt})

    await ensure_stream(broker, WANTED)
    found = await config(broker)

    assert {key: found[key] for key in ("max_bytes", "compression", "description")} == {
        key: chosen[key] for key in ("max_bytes", "compression", "description")
    }
    assert found["metadata"]["team"] == "crm"
    assert found["allow_atomic"]
    assert found["max_age"] == 0
    assert set(found["subjects"]) == {"orders.>", "rollbook.events.v1.>"}


async def test_a_stream_that_cannot_serve_is_refused(broker: Broker) -> None:
    await broker.api(f"STREAM.CREATE.{EVENTS}", {"name": EVENTS, "subjects": ["x"], "storage": "memory"})

    with pytest.raises(StreamMismatch, match="storage"):
        await ensure_stream(broker, WANTED)


async def test_the_stream_takes_the_room_there_is(broker: Broker) -> None:
    await ensure_stream(broker, events_stream(max_bytes=900 * MB))

    assert (await config(broker))["max_bytes"] == 450 * MB


async def test_a_server_without_atomic_batches_is_refused(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Broker, "server_version", (2, 11))

    with pytest.raises(BrokerTooOld, match=r"2\.11"):
        await ensure_stream(broker, WANTED)


async def test_nobody_waits_for_a_connection_that_is_lost(broker: Broker, private_nats: Callable[..., Nats]) -> None:
    server = await asyncio.to_thread(private_nats)
    connected = await Broker.connect(server.url, name="test")
    await asyncio.to_thread(server.pause)
    waiting = asyncio.ensure_future(connected.api("INFO"))
    await asyncio.to_thread(server.kill)

    async with asyncio.timeout(2):
        with pytest.raises(BrokerUnavailable):
            await waiting
    await connected.close()
