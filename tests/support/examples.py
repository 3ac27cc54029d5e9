"""The examples for integrators as programs to run: Python's as they are, TypeScript's installed and compiled first."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from rollbook.folder import Running
from tests.support.readme import ROOT

FOLDER: Final = ROOT / "services" / "contacts_bridge" / "examples"
LANGUAGES: Final = ("python", "typescript")
INSTALL_TIMEOUT_S: Final = 100

#: Arguments that start an example by its name.
Program = Callable[[str], list[str]]


def program(language: str, scratch: Path) -> Program:
    """Skips the test where TypeScript cannot be had here, and says why."""
    if language == "python":
        return lambda name: [sys.executable, str(FOLDER / "python" / f"{name}.py")]
    folder = scratch / "typescript"
    if not folder.exists():
        _install(folder)
    return lambda name: ["node", str(folder / "dist" / f"{name}.js")]


def _install(folder: Path) -> None:
    missing = [name for name in ("node", "npm") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"TypeScript's examples are not run: {' and '.join(missing)} not found")
    shutil.copytree(FOLDER / "typescript", folder, ignore=shutil.ignore_patterns("node_modules", "dist"))
    installed = run(["npm", "ci", "--no-progress"], os.environ, cwd=folder, timeout_s=INSTALL_TIMEOUT_S)
    if installed.returncode:
        shutil.rmtree(folder)
        pytest.skip(f"TypeScript's examples are not run: npm ci ended with {installed.returncode}")
    compiled = run(["npx", "tsc"], os.environ, cwd=folder, timeout_s=INSTALL_TIMEOUT_S)
    assert compiled.returncode == 0, compiled.stdout


def run(
    arguments: list[str], environment: Mapping[str, str], *, cwd: Path | None = None, timeout_s: float = 30
) -> subprocess.CompletedProcess[str]:
    """To its end, whatever the exit code."""
    return subprocess.run(
        arguments, cwd=cwd, env=dict(environment), capture_output=True, text=True, timeout=timeout_s, check=False
    )


def surroundings(running: Running, **more: str) -> Mapping[str, str]:
    return {
        **os.environ,
        "ROLLBOOK_NATS_URL": running.nats,
        "ROLLBOOK_WORKSPACE": str(running.workspace),
        "ROLLBOOK_KEY": running.api_key,
        **more,
    }


class Following:
    """A consumer that runs and writes to the end of a file."""

    def __init__(self, arguments: list[str], environment: Mapping[str, str], output: Path) -> None:
        with output.open("ab") as written, output.with_suffix(".err").open("ab") as errors:
            self.process = subprocess.Popen(arguments, env=dict(environment), stdout=written, stderr=errors)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


def written(output: Path) -> Iterator[dict[str, Any]]:
    """The events that a consumer has written; whole lines only."""
    for line in output.read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            yield json.loads(line)
