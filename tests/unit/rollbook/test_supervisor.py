"""Processes that are kept running: restart with back-off, what is said, an end without leftovers."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rollbook import supervisor
from rollbook.embedded.process import ServerFailed
from rollbook.supervisor import Program, Supervisor, backoff_s
from servicekit.run import EXIT_MISCONFIGURED
from tests.support.waiting import until

FOREVER = "import time; time.sleep(60)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"


class Rig:
    """A supervisor that writes down what it says."""

    def __init__(self, folder: Path) -> None:
        self.said: list[str] = []
        self.changes = 0
        self.supervisor = Supervisor(self.said.append, self._changed)
        self._folder = folder

    def _changed(self) -> None:
        self.changes += 1

    async def start(self, name: str, code: str) -> Program:
        program = Program(name, ["-c", code], environment={}, log=self._folder / f"{name}.log")
        await self.supervisor.start(program)
        return program


@pytest.fixture
async def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    monkeypatch.setattr(supervisor, "BACKOFF_FIRST_S", 0.01)
    monkeypatch.setattr(supervisor, "WATCH_INTERVAL_S", 0.01)
    rig = Rig(tmp_path)
    yield rig
    await rig.supervisor.stop()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_process_that_is_killed_is_started_again_and_both_is_said(rig: Rig) -> None:
    program = await rig.start("api", FOREVER)
    first = program.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await until(lambda: len(rig.said) == 2)
    assert rig.said[0].startswith("api was ended by SIGKILL; starting it again in 0.01 s")
    assert rig.said[1] == f"api runs again (process {program.pid})"
    assert program.pid not in (None, first)
    assert rig.changes == 2


async def test_a_process_that_ends_again_and_again_waits_longer_each_time(rig: Rig) -> None:
    await rig.start("projector", "raise SystemExit(3)")
    await until(lambda: rig.supervisor.crashes.get("projector", 0) >= 3)
    starting = [text for text in rig.said if "starting it again" in text]
    assert [text.split(" in ")[1].split(" s ")[0] for text in starting[:3]] == ["0.01", "0.02", "0.04"]
    assert "projector ended with exit code 3" in starting[0]


def test_the_wait_doubles_up_to_half_a_minute() -> None:
    assert [backoff_s(crashes) for crashes in (1, 2, 3, 7, 8, 1000)] == [0.5, 1, 2, 30, 30, 30]


async def test_a_process_with_wrong_settings_is_not_started_again(rig: Rig) -> None:
    await rig.start("bridge", f"print('ROLLBOOK_NATS_URL is not set'); raise SystemExit({EXIT_MISCONFIGURED})")
    await until(lambda: rig.said)
    assert "settings are wrong, it is not started again" in rig.said[0]
    assert "ROLLBOOK_NATS_URL is not set" in rig.said[0]
    assert len(rig.said) == 1


async def test_stopping_ends_all_also_one_that_does_not_listen(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "PROGRAM_STOP_STEPS", ((signal.SIGTERM, 0.3),))
    programs = [await rig.start("api", FOREVER), await rig.start("deaf", DEAF)]
    await until(lambda: "deaf" in programs[1].log.read_text())
    pids = [program.pid for program in programs]
    began = time.monotonic()
    await rig.supervisor.stop()
    assert time.monotonic() - began < 2
    assert not any(alive(pid) for pid in pids if pid is not None)
    assert rig.said == []


async def test_groups_stop_one_after_the_other(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    server = await rig.start("postgres", FOREVER)
    await rig.start("api", FOREVER)
    order: list[str] = []
    stop = Program.stop

    def stop_and_tell(program: Program) -> None:
        order.append(program.name)
        stop(program)

    monkeypatch.setattr(Program, "stop", stop_and_tell)
    await rig.supervisor.stop([server])
    assert order[:2] == ["api", "postgres"]


async def test_what_cannot_be_started_at_all_is_an_error_at_the_first_start(rig: Rig, tmp_path: Path) -> None:
    class Broken:
        name = "nats"
        log = tmp_path / "nats.log"
        pid = None
        exit_code = None

        def start(self) -> None:
            raise ServerFailed("no such program")

        def stop(self) -> None:
            pass

    with pytest.raises(ServerFailed, match="no such program"):
        await rig.supervisor.start(Broken())
