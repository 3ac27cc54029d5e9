"""How many histories a property test goes through, and by which seed. `make property` sets the full figures."""

from __future__ import annotations

import os
import secrets
from typing import Final

#: `ROLLBOOK_PROPERTY=full` runs the figures of a release; `ROLLBOOK_PROPERTY_SEED` repeats a run.
FULL: Final = os.environ.get("ROLLBOOK_PROPERTY") == "full"
SEED: Final = int(os.environ.get("ROLLBOOK_PROPERTY_SEED") or secrets.randbits(32))


def figure(ci: int, full: int) -> int:
    """`ROLLBOOK_PROPERTY_HISTORIES` overrides both."""
    return int(os.environ.get("ROLLBOOK_PROPERTY_HISTORIES") or (full if FULL else ci))
