"""The event loop on a thread of its own, without a database."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from threading import Event, current_thread
from threading import enumerate as running_threads

import pytest

from eventstore.facade.loop import LoopClosed, LoopThread
from tests.support.waiting import until_sync


async def nothing() -> None:
    """The last thing to do, where there is none."""


async def thread_name() -> str:
    return current_thread().name


def alive(name: str) -> bool:
    return any(thread.name == name for thread in running_threads())


def test_a_coroutine_runs_on_the_other_thread_and_its_result_comes_back() -> None:
    thread = LoopThread("aside")
    assert thread.run(thread_name()) == "aside"
    thread.close(nothing)


def test_what_a_coroutine_raises_is_raised_here() -> None:
    async def fail() -> None:
        raise ValueError("no")

    thread = LoopThread("failing")
    with pytest.raises(ValueError, match="no"):
        thread.run(fail())
    thread.close(nothing)


def test_closing_does_the_last_thing_once_and_ends_the_thread() -> None:
    done: list[str] = []

    async def last() -> None:
        done.append(current_thread().name)

    thread = LoopThread("closing")
    thread.close(last)
    thread.close(last)
    assert done == ["closing"]
    assert not alive("closing")
    with pytest.raises(LoopClosed):
        thread.run(nothing())


def test_whoever_waits_while_it_closes_is_told() -> None:
    started = Event()

    async def forever() -> None:
        started.set()
        await asyncio.Event().wait()

    thread = LoopThread("interrupted")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: thread.run(forever()))
        assert started.wait(5)
        thread.close(nothing)
        with pytest.raises(LoopClosed):
            waiting.result(5)


def test_closing_on_its_own_thread_as_a_finalizer_may_does_not_wait_for_itself() -> None:
    thread = LoopThread("self-closing")

    async def close_and_stay() -> None:
        thread.close(nothing)
        await asyncio.Event().wait()

    with pytest.raises(LoopClosed):
        thread.run(close_and_stay())
    until_sync(lambda: not alive("self-closing"), what="the thread to end")
