"""Unique values of a workspace: taken, released and moved in the append itself."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import pytest

from eventstore.envelope import Appended, Claim
from eventstore.errors import (
    ClaimTaken,
)
from eventstore.store import EventStore
from tests.integration.eventstore.appending import (
    SOON_S,
)
from tests.integration.eventstore.conftest import OpenStore
from tests.support.sample import Noted, stream_of, write


async def test_a_claim_is_taken_released_and_taken_by_another(store: EventStore, workspace: UUID) -> None:
    one, two = stream_of(workspace), stream_of(workspace)
    await store.append(write(one, Noted("a"), claims=(Claim(kind="email", value="m", holder=one.id),)))
    with pytest.raises(ClaimTaken):
        await store.append(write(two, Noted("b"), claims=(Claim(kind="email", value="m", holder=two.id),)))
    # Releasing what another holds does nothing.
    await store.append(write(two, Noted("b"), claims=(Claim(kind="email", value="m", holder=two.id, take=False),)))
    assert await store.find_claim(workspace, "email", "m") == one.id
    release = Claim(kind="email", value="m", holder=one.id, take=False)
    await store.append(write(one, Noted("c"), expected=1, claims=(release,)))
    assert await store.find_claim(workspace, "email", "m") is None
    await store.append(write(two, Noted("d"), expected=1, claims=(Claim(kind="email", value="m", holder=two.id),)))
    assert await store.find_claim(workspace, "email", "m") == two.id


async def test_one_command_moves_a_claim(store: EventStore, workspace: UUID) -> None:
    one, two = stream_of(workspace), stream_of(workspace)
    await store.append(write(one, Noted("a"), claims=(Claim(kind="email", value="move", holder=one.id),)))
    move = (
        Claim(kind="email", value="move", holder=one.id, take=False),
        Claim(kind="email", value="move", holder=two.id),
    )
    await store.append(write(two, Noted("b"), claims=move))
    assert await store.find_claim(workspace, "email", "move") == two.id


async def test_a_claim_named_twice_in_one_command_is_taken_once(store: EventStore, workspace: UUID) -> None:
    stream = stream_of(workspace)
    take = Claim(kind="email", value="twice", holder=stream.id)
    await store.append(write(stream, Noted("a"), claims=(take, take)))
    assert await store.find_claim(workspace, "email", "twice") == stream.id


async def test_of_many_takers_of_a_claim_at_once_one_gets_it(open_store: OpenStore, workspace: UUID) -> None:
    stores = [await open_store(), await open_store()]
    streams = [stream_of(workspace) for _ in range(30)]
    async with asyncio.timeout(SOON_S):
        answers = await asyncio.gather(
            *(
                stores[n % 2].append(write(s, Noted("x"), claims=(Claim(kind="email", value="one", holder=s.id),)))
                for n, s in enumerate(streams)
            ),
            return_exceptions=True,
        )
    (winner,) = [s for s, answer in zip(streams, answers, strict=True) if isinstance(answer, Appended)]
    assert sum(isinstance(a, ClaimTaken) and a.holder == winner.id for a in answers) == 29
    assert await stores[0].find_claim(workspace, "email", "one") == winner.id


async def test_claims_of_two_workspaces_do_not_meet(store: EventStore) -> None:
    for _ in range(2):
        stream = stream_of(uuid4())
        await store.append(write(stream, Noted("a"), claims=(Claim(kind="email", value="both", holder=stream.id),)))


async def test_the_log_holds_no_claimed_value_in_clear(store: EventStore, workspace: UUID) -> None:
    stream = stream_of(workspace)
    await store.append(
        write(stream, Noted("a"), claims=(Claim(kind="email", value="wilhelm@x.test", holder=stream.id),))
    )
    rows = await store.pool.fetch("SELECT c::text AS text FROM log.claims c WHERE c.holder = $1", stream.id)
    assert len(rows) == 1
    assert "wilhelm" not in rows[0]["text"]
    assert b"wilhelm".hex() not in rows[0]["text"]


async def test_releasing_and_taking_the_same_value_keeps_it(store: EventStore, workspace: UUID) -> None:
    stream = stream_of(workspace)
    take = Claim(kind="email", value="kept", holder=stream.id)
    release = Claim(kind="email", value="kept", holder=stream.id, take=False)
    await store.append(write(stream, Noted("a"), claims=(take,)))
    await store.append(write(stream, Noted("b"), expected=1, claims=(release, take)))
    assert await store.find_claim(workspace, "email", "kept") == stream.id
