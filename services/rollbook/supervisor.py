"""Keeps processes running: starts again with back-off what ends, says so, stops all in order. Knows no process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from rollbook.embedded import process
from rollbook.embedded.process import ServerFailed
from servicekit.run import EXIT_MISCONFIGURED

WATCH_INTERVAL_S: Final = 0.1
BACKOFF_FIRST_S: Final = 0.5
BACKOFF_MAX_S: Final = 30.0
#: After running this long a process counts as healthy, and its next crash as its first.
HEALTHY_AFTER_S: Final = 30.0
PROGRAM_STOP_STEPS: Final = ((signal.SIGTERM, 2.5),)


class Supervised(Protocol):
    """What can be kept running. `start` blocks until it runs, or raises ServerFailed; `stop` until it has ended."""

    name: str
    log: Path

    @property
    def pid(self) -> int | None: ...
    @property
    def exit_code(self) -> int | None: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...


class Program:
    """One of our own service processes: `python -m <module>`, writing to `log`."""

    def __init__(self, name: str, arguments: Sequence[str], *, environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self._arguments = [sys.executable, *arguments]
        self._environment = {**os.environ, **environment, "PYTHONUNBUFFERED": "1"}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def exit_code(self) -> int | None:
        return self._process.poll() if self._process else None

    def start(self) -> None:
        self._process = process.spawn(self._arguments, log=self.log, env=self._environment, cwd=Path.cwd())

    def stop(self) -> None:
        if self._process is not None:
            process.stop(self._process, *PROGRAM_STOP_STEPS)


class Supervisor:
    """Starts processes in order, watches them, and stops them in reverse groups.

    `say` is told in words what happened; `changed` is called after each start, when process ids are new.
    """

    def __init__(self, say: Callable[[str], None], changed: Callable[[], None] = lambda: None) -> None:
        self._say = say
        self._changed = changed
        #: In the order of their start; the first start may still be under way.
        self.processes: list[Supervised] = []
        self._watches: list[asyncio.Task[None]] = []
        self._calls: set[asyncio.Future[None]] = set()
        #: Crashes in a row by name; a long healthy run sets it back to 0.
        self.crashes: dict[str, int] = {}

    async def start(self, supervised: Supervised) -> None:
        """Raises ServerFailed when the first start fails; later ones are repeated."""
        self.processes.append(supervised)
        await self._in_thread(supervised.start)
        self._watches.append(asyncio.create_task(self._watch(supervised), name=f"watch-{supervised.name}"))
        self._changed()

    async def stop(self, *groups: Sequence[Supervised]) -> None:
        """Stop group after group, the members of each at the same time; what is in no group comes first."""
        for watch in self._watches:
            watch.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)
        named = [each for group in groups for each in group]
        starting = list(self._calls)
        for group in ([each for each in self.processes if each not in named], *groups):
            await asyncio.gather(*(self._in_thread(each.stop) for each in group))
        # A start that was under way has given up by now, or brought up a process after its stop.
        await asyncio.gather(*starting, return_exceptions=True)
        await asyncio.gather(*(self._in_thread(each.stop) for each in self.processes))

    def kill(self) -> None:
        """End everything at once, without waiting."""
        for each in self.processes:
            if each.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(each.pid, signal.SIGKILL)

    async def _watch(self, supervised: Supervised) -> None:
        while True:
            started_at = time.monotonic()
            code = await _ended(supervised)
            healthy = time.monotonic() - started_at > HEALTHY_AFTER_S
            crashes = self.crashes[supervised.name] = 1 if healthy else self.crashes.get(supervised.name, 0) + 1
            what = f"{supervised.name} {_how(code)}"
            if code == EXIT_MISCONFIGURED:
                self._say(f"{what}: its settings are wrong, it is not started again\n{_end_of(supervised.log)}")
                return
            await self._again(supervised, what, crashes)

    async def _again(self, supervised: Supervised, what: str, crashes: int) -> None:
        while True:
            wait_s = backoff_s(crashes)
            self._say(f"{what}; starting it again in {wait_s:g} s (log: {supervised.log})")
            await asyncio.sleep(wait_s)
            try:
                await self._in_thread(supervised.start)
            except (ServerFailed, OSError) as error:
                crashes += 1
                what = f"{supervised.name} did not start: {error}"
                continue
            self._say(f"{supervised.name} runs again (process {supervised.pid})")
            self._changed()
            return

    async def _in_thread(self, call: Callable[[], None]) -> None:
        # Threads of the default executor live as long as the loop, so the kernel's "parent thread has ended" signal,
        # which our processes ask for, does not come early.
        running = asyncio.get_running_loop().run_in_executor(None, call)
        self._calls.add(running)
        running.add_done_callback(self._calls.discard)
        await asyncio.shield(running)


def backoff_s(crashes: int) -> float:
    """Seconds before the start after the given number of crashes in a row: doubling, with an upper bound."""
    doubled: float = BACKOFF_FIRST_S * 2 ** min(crashes - 1, 10)
    return min(doubled, BACKOFF_MAX_S)


async def _ended(supervised: Supervised) -> int:
    while (code := supervised.exit_code) is None:  # noqa: ASYNC110  # a process tells no event
        await asyncio.sleep(WATCH_INTERVAL_S)
    return code


def _how(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def _end_of(log: Path) -> str:
    return "\n".join(f"    {line}" for line in process.last_lines(log, 6).splitlines())
