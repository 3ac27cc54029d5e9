"""The README's five minutes, typed as they stand there into a shell beside a fresh stack, and what `up` says to try."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from rollbook.folder import Running
from tests.support import readme
from tests.support.readme import ROOT, Block
from tests.support.stack import Up
from tests.support.waiting import until_sync

ADDRESS_SHOWN: Final = "http://127.0.0.1:8080"
#: Where the commands are, told from the root of the repository; an absolute place that ends like this stays.
COMMANDS_SHOWN: Final = re.compile(r"(?<![\w/])\.venv/bin/")
COMMANDS: Final = f"{Path(sys.executable).parent}/"
BOUNDARY: Final = "-- next block --"
TIMEOUT_S: Final = 60


@pytest.fixture
def up(scratch_folder: Path) -> Iterator[Up]:
    up = Up(scratch_folder / ".rollbook")
    yield up
    up.stop()


def test_the_tour_of_the_readme_works_as_it_is_written(up: Up) -> None:
    running = up.ready()
    until_sync(lambda: "Stop with Ctrl-C" in up.said, what="the welcome")
    welcome = next(block.text for block in readme.blocks(readme.section("Two commands")) if block.language == "text")
    assert readme.fits(welcome, up.said.replace(running.api, ADDRESS_SHOWN))

    steps = list(_steps(readme.blocks(readme.section("Five minutes with it"))))
    assert len(steps) > 5
    answers = _typed([commands for commands, _ in steps], running, up.folder)
    for (commands, shown), answer in zip(steps, answers, strict=True):
        assert readme.fits(shown, answer), f"{commands}\nshould answer\n{shown}\nand answers\n{answer}"

    # Pasted as a whole, it must not be quicker than the read model.
    tried = up.said.partition("Try\n")[2].partition("Stop with Ctrl-C")[0]
    (answer,) = _typed([tried], running, up.folder)
    created, *_, found = filter(None, answer.splitlines())
    assert '"email":"zoe@example.org"' in created
    assert "  contact.created  " in answer
    assert '"email":"zoe@example.org"' in found
    assert found.startswith('{"items":[')


def _steps(blocks: list[Block]) -> Iterator[tuple[str, str]]:
    """Each block of commands with what it is shown to answer, nothing where nothing is shown."""
    followed_by = [*blocks[1:], Block("", "")]
    for block, following in zip(blocks, followed_by, strict=True):
        if block.language == "sh":
            yield block.text, following.text if following.language == "text" else ""


def _typed(blocks: list[str], running: Running, folder: Path) -> list[str]:
    """What one shell answers to each block, with the addresses and folders of this stack for those that are shown."""
    script = f"\necho '{BOUNDARY}'\n".join(blocks)
    script = COMMANDS_SHOWN.sub(COMMANDS, script)
    script = script.replace(ADDRESS_SHOWN, running.api).replace(" .rollbook/", f" {folder}/")
    done = subprocess.run(
        ["bash", "-eu"],
        input=script,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_S,
        cwd=ROOT,
        env={**os.environ, "ROLLBOOK_DATA_DIR": str(folder), "COLUMNS": "120", "LC_ALL": "C.UTF-8"},
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout.split(f"{BOUNDARY}\n")
