"""Seeds, figures and findings of kill tests: shown at the end of the run, kept in tests/RESULTS.md at full figures."""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

#: `ROLLBOOK_CHAOS=full` runs the figures of a release; `ROLLBOOK_CHAOS_SEED` repeats a run.
FULL: Final = os.environ.get("ROLLBOOK_CHAOS") == "full"
RESULTS: Final = Path(__file__).parents[2] / "RESULTS.md"
#: Where a test's `user_properties` carry its line to the end of the run, over xdist as well.
PROPERTY: Final = "chaos"


def figure(ci: int, full: int) -> int:
    """How many rounds to run; `ROLLBOOK_CHAOS_ROUNDS` overrides both."""
    return int(os.environ.get("ROLLBOOK_CHAOS_ROUNDS") or (full if FULL else ci))


class Report:
    """Counts of one kill test. `counts` may be added to at any time; `finish` ends it."""

    def __init__(self, guarantee: str, properties: list[tuple[str, object]]) -> None:
        self.guarantee = guarantee
        self.seed = int(os.environ.get("ROLLBOOK_CHAOS_SEED") or secrets.randbits(32))
        self.counts: Counter[str] = Counter()
        self._properties = properties
        self._started = time.monotonic()
        print(f"{guarantee}: seed {self.seed}")  # also seen when the test never finishes

    def add(self, counts: Mapping[str, int]) -> None:
        self.counts.update(counts)

    @property
    def text(self) -> str:
        return ", ".join(f"{name} {count:,}" for name, count in self.counts.items())

    def finish(self) -> None:
        """Only called when the promise held and the planted bug was caught."""
        seconds = time.monotonic() - self._started
        line = f"{self.guarantee}: seed {self.seed}, {seconds:.0f} s: {self.text}"
        print(line)
        self._properties.append((PROPERTY, line))
        if FULL:
            self._keep(seconds)

    def _keep(self, seconds: float) -> None:
        date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
        row = f"| {self.guarantee} | {date} | {_commit()} | {self.seed} | {seconds:.0f} s | {self.text} |\n"
        with RESULTS.open("a", encoding="utf-8") as results:
            results.write(row)


def _commit() -> str:
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, cwd=RESULTS.parent
    )
    return found.stdout.strip() or "?"
