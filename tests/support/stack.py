"""`rollbook up` as a child process of a test: start it, talk to what it started, end it in any way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2

from rollbook.folder import DataFolder, Running
from tests.support.waiting import until_sync

START_TIMEOUT_S = 60.0


class Up:
    """A running `rollbook up`, once `ready` has returned."""

    def __init__(self, folder: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self._output = folder.with_name(f"{folder.name}.{time.monotonic_ns()}.out")
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "rollbook", "up", "--data-dir", str(folder), "--port", "0", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "COLUMNS": "200", **(environment or {})},
            )

    @property
    def said(self) -> str:
        """What it has written to the console so far."""
        return self._output.read_text()

    def ready(self) -> Running:
        """What `stack.json` says, once there is one. Raises AssertionError with the output where it does not start."""
        folder = DataFolder(self.folder)
        until_sync(
            lambda: self._is_ours(folder.running()) or self.process.poll() is not None,
            timeout_s=START_TIMEOUT_S,
            what="stack.json",
        )
        running = folder.running()
        if running is None or not self._is_ours(running):
            raise AssertionError(f"it ended with exit code {self.process.returncode}:\n{self.said}")
        return running

    def _is_ours(self, running: Running | None) -> bool:
        return running is not None and running.pid == self.process.pid

    def says(self, text: str, timeout_s: float = 60.0) -> None:
        """Wait until it has said `text`. Raises AssertionError with what it said instead."""
        until_sync(lambda: text in self.said or self.process.poll() is not None, timeout_s=timeout_s, what=text)
        assert text in self.said, f"it ended with exit code {self.process.returncode}:\n{self.said}"

    def stop(self, number: int = signal.SIGTERM) -> float:
        """Ask it to stop; how long that took, in seconds."""
        began = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                raise AssertionError(f"it did not stop within 30 s:\n{self.said}") from None
        return time.monotonic() - began


class Api:
    """The HTTP API of a stack, as its owner uses it."""

    def __init__(self, running: Running) -> None:
        self.client = httpx2.Client(
            base_url=running.api, headers={"Authorization": f"Bearer {running.api_key}"}, timeout=30
        )

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def get(self, path: str, **parameters: Any) -> Any:
        return self._answer(self.client.get(path, params=parameters))

    def post(self, path: str, body: Any) -> Any:
        """The answer's body; `position` is what a query has to wait for to see it."""
        answer = self.client.post(path, json=body)
        self.position = answer.headers.get("Rollbook-Position", "")
        return self._answer(answer)

    @staticmethod
    def _answer(answer: httpx2.Response) -> Any:
        assert answer.is_success, f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text}"
        return json.loads(answer.content)


def alive(pids: Mapping[str, int]) -> dict[str, int]:
    """Those that still run; a zombie does not."""
    found = {}
    for name, pid in pids.items():
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state != "Z":
            found[name] = pid
    return found


def descendants(pid: int) -> set[int]:
    """Process ids of everything it started, and of what that started."""
    found: set[int] = set()
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, children.read_text().split()):
            found |= {child} | descendants(child)
    return found
