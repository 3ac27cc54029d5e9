"""Shows on the console what the processes of a stack write to their logs, if it is important. Writes no log itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

IMPORTANT: Final = frozenset({"warning", "error", "critical"})
#: What every line has, and so tells nothing.
USUAL: Final = frozenset({"event", "level", "timestamp", "logger", "process"})
READ_BYTES_MAX: Final = 256 * 1024


class LogFollower:
    """Reads what was added to one log file since the last call of `follow`."""

    def __init__(self, name: str, log: Path, show: Callable[[str, str, str], None]) -> None:
        """`show` gets the process's name, the level and the text of each important line."""
        self._name = name
        self._log = log
        self._show = show
        self._offset = log.stat().st_size if log.exists() else 0
        self._rest = b""

    def follow(self) -> None:
        for line in self._new_lines():
            level, text = important(line)
            if text:
                self._show(self._name, level, text)

    def _new_lines(self) -> Iterator[str]:
        try:
            with self._log.open("rb") as file:
                if self._log.stat().st_size < self._offset:
                    self._offset = 0  # a new file after rotation
                file.seek(self._offset)
                added = file.read(READ_BYTES_MAX)
        except FileNotFoundError:
            return
        self._offset += len(added)
        *lines, self._rest = (self._rest + added).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace")


def important(line: str) -> tuple[str, str]:
    """Level and text of a line worth showing, and two empty strings for others.

    What is no JSON comes from before the log was set up; of a traceback only the error itself is shown.
    """
    if not line.startswith("{"):
        worth = line.strip() and not line.startswith((" ", "\t", "Traceback "))
        return ("error", line) if worth else ("", "")
    try:
        said: dict[str, Any] = json.loads(line)
    except ValueError:
        return "error", line
    level = str(said.get("level", ""))
    if level not in IMPORTANT:
        return "", ""
    errors = said.pop("errors", None) or []
    details = [f"{key}={value}" for key, value in said.items() if key not in USUAL]
    details += [f"{each['error']} at {each['at'][-1] if each['at'] else '?'}" for each in errors[:2]]
    return level, "  ".join([str(said.get("event", "")), *details])
