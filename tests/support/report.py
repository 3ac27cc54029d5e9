"""Seeds, figures and findings of the tests of promises: shown at the end of a run, kept in tests/RESULTS.md."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

RESULTS: Final = Path(__file__).parents[1] / "RESULTS.md"
#: Where a test's `user_properties` carry its line to the end of the run, over xdist as well.
PROPERTY: Final = "chaos"


class Report:
    """Counts of one test. `counts` may be added to at any time; `finish` ends it."""

    def __init__(self, guarantee: str, properties: list[tuple[str, object]], *, seed: int, keep: bool) -> None:
        """With `keep` its line goes into the file as well, where full figures are kept."""
        self.guarantee = guarantee
        self.seed = seed
        self.counts: Counter[str] = Counter()
        self._keep = keep
        self._properties = properties
        self._started = time.monotonic()
        print(f"{guarantee}: seed {seed}")  # also seen when the test never finishes

    def add(self, counts: Mapping[str, int]) -> None:
        self.counts.update(counts)

    @property
    def text(self) -> str:
        return ", ".join(f"{name} {count:,}" for name, count in self.counts.items())

    def finish(self) -> None:
        """Only called when the promise held and, where the same test plants a bug, that was caught."""
        seconds = time.monotonic() - self._started
        line = f"{self.guarantee}: seed {self.seed}, {seconds:.0f} s: {self.text}"
        print(line)
        self._properties.append((PROPERTY, line))
        if self._keep:
            self._write(seconds)

    def _write(self, seconds: float) -> None:
        date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
        row = f"| {self.guarantee} | {date} | {_commit()} | {self.seed} | {seconds:.0f} s | {self.text} |\n"
        with RESULTS.open("a", encoding="utf-8") as results:
            results.write(row)


def _commit() -> str:
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, cwd=RESULTS.parent
    )
    return found.stdout.strip() or "?"
