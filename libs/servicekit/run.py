"""The life of a service process: settings, logs, event loop, stop on a signal, exit code. What it does is its own."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Final

import structlog
import uvloop

from servicekit import environment, logs
from servicekit.settings import Settings

log = structlog.get_logger(__name__)

EXIT_FAILED: Final = 1
#: As sysexits.h has it: a supervisor should not try again before the settings were changed.
EXIT_MISCONFIGURED: Final = 78


class Stop(asyncio.Event):
    """Set when the process should end. `reason` is set when that is a failure, and makes the exit code 1."""

    reason: str | None = None

    def fail(self, reason: str) -> None:
        """End the process because of `reason`; the first one counts."""
        self.reason = self.reason or reason
        self.set()


#: Objects made since the last look at the youngest ones, then how many looks until the older ones have their turn.
COLLECT_AT: Final = (5_000, 20, 20)

Main = Callable[[Settings, Stop], Awaitable[None]]


def run(process: str, main: Main, *, needed: Collection[str] = environment.SERVICE_NEEDS) -> None:
    """Load the settings, run `main` until it returns, and exit: 0 in order, 1 on failure, 78 on wrong settings.

    SIGTERM and SIGINT set `stop`; `main` should then return within `shutdown_grace_s`. A second signal ends at once.
    """
    try:
        settings = environment.load(needed=needed)
    except environment.InvalidSettings as invalid:
        print(f"{process}: the settings are not complete\n  " + "\n  ".join(invalid.problems), file=sys.stderr)
        sys.exit(EXIT_MISCONFIGURED)
    logs.configure(process, level=settings.log_level, log_format=settings.log_format)
    for problem in environment.unknown():
        log.warning("a setting is not known", reason=problem)
    _spare_the_collector()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.exit(runner.run(_live(main, settings)))


def _spare_the_collector() -> None:
    """Keeps the cycle collector from what the imports made, which lives as long as the process, and makes it rarer.

    With CPython's own settings the API spent a fifth of its time in it under load, in pauses of up to 100 ms; measured.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AT)


async def _live(main: Main, settings: Settings) -> int:
    stop = Stop()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_report)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _on_signal, stop, number)
    log.info("started", pid=os.getpid())
    try:
        await _until_stopped(main(settings, stop), stop, settings.shutdown_grace_s)
    except Exception as error:
        log.exception("ended by an error", reason=logs.said(error))
        return EXIT_FAILED
    if stop.reason:
        log.error("ended", reason=stop.reason)
        return EXIT_FAILED
    log.info("stopped")
    return 0


async def _until_stopped(running: Awaitable[None], stop: Stop, grace_s: float) -> None:
    """Cancels what still runs `grace_s` after the stop: a connect that never succeeds must not hold the end up."""
    work = asyncio.ensure_future(running)
    waiting = asyncio.ensure_future(stop.wait())
    await asyncio.wait({work, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not work.done():
        await asyncio.wait({work}, timeout=grace_s)
    if not work.done():
        work.cancel()
        log.warning("cut short", wait_s=grace_s)
    try:
        await work
    except asyncio.CancelledError:
        if not stop.is_set():
            raise


def _on_signal(stop: Stop, number: signal.Signals) -> None:
    if stop.is_set():
        os._exit(EXIT_FAILED)
    log.info("stopping", signal=number.name)
    stop.set()


def _report(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # The default handler prints the repr of futures, and with it the values inside their errors.
    error = context.get("exception")
    log.error("unhandled in the event loop", reason=context["message"], exc_info=error)
