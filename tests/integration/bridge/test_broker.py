"""The end of a connection to NATS: whatever cuts it short, nothing of it is left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from contacts_bridge.broker import Broker
from contacts_bridge.errors import BrokerUnavailable
from rollbook.embedded.nats import Nats
from tests.support.waiting import until

SOON_S = 10.0


@pytest.fixture
def private_server(private_nats: Callable[..., Nats]) -> Nats:
    return private_nats()


async def test_a_close_is_not_held_up_by_a_server_that_does_not_read(private_server: Nats) -> None:
    before = asyncio.all_tasks()
    broker = await asked(private_server)
    private_server.pause()
    try:
        publishing = asyncio.create_task(flood(broker))
        await until(lambda: writer_of(broker).transport.get_write_buffer_size() > 0, what="the socket takes no more")
        async with asyncio.timeout(SOON_S):
            await broker.close()
        publishing.cancel()
        await asyncio.wait({publishing})
        assert await nothing_left(broker, before)
    finally:
        private_server.resume()


@pytest.mark.parametrize("turns", range(1, 5))
async def test_a_close_that_is_cancelled_is_a_close(private_server: Nats, turns: int) -> None:
    before = asyncio.all_tasks()
    broker = await asked(private_server)
    closing = asyncio.create_task(broker.close())
    for _ in range(turns):
        await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait({closing})
    assert await nothing_left(broker, before)


async def test_a_connection_that_is_not_made_in_time_is_let_go(private_server: Nats) -> None:
    before = asyncio.all_tasks()
    private_server.pause()
    try:
        with pytest.raises(BrokerUnavailable):
            await Broker.connect(private_server.url, name="late")
    finally:
        private_server.resume()
    await until(lambda: asyncio.all_tasks() <= before, timeout_s=SOON_S, what="its tasks have ended")


async def asked(server: Nats) -> Broker:
    """With the subscription that answers come by."""
    broker = await Broker.connect(server.url, name="test")
    await broker.api("INFO")
    return broker


async def flood(broker: Broker) -> None:
    while True:
        await broker.publish("a", bytes(broker.max_payload - 100))


async def nothing_left(broker: Broker, before: set[asyncio.Task[object]]) -> bool:
    for _ in range(10):
        await asyncio.sleep(0)
    return writer_of(broker).is_closing() and asyncio.all_tasks() <= before


def writer_of(broker: Broker) -> asyncio.StreamWriter:
    writer: asyncio.StreamWriter = broker._client._transport._io_writer  # type: ignore[union-attr]
    return writer
