"""The figures of kill tests and their reports, by `ROLLBOOK_CHAOS` and its like. Reports are in `tests.support`."""

from __future__ import annotations

import os
import secrets
from typing import Final

from tests.support import report

#: `ROLLBOOK_CHAOS=full` runs the figures of a release; `ROLLBOOK_CHAOS_SEED` repeats a run.
FULL: Final = os.environ.get("ROLLBOOK_CHAOS") == "full"


def figure(ci: int, full: int) -> int:
    """How many rounds to run; `ROLLBOOK_CHAOS_ROUNDS` overrides both."""
    return int(os.environ.get("ROLLBOOK_CHAOS_ROUNDS") or (full if FULL else ci))


class Report(report.Report):
    """Counts of one kill test; kept at full figures."""

    def __init__(self, guarantee: str, properties: list[tuple[str, object]]) -> None:
        seed = int(os.environ.get("ROLLBOOK_CHAOS_SEED") or secrets.randbits(32))
        super().__init__(guarantee, properties, seed=seed, keep=FULL)
