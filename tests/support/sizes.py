"""Fails when a module is too long to be read in one sitting, tests included. Run by `make lint`."""

from __future__ import annotations

import sys
from pathlib import Path

LINES_MAX = 400
FOLDERS = ("libs", "services", "tests", "deploy")


def too_long(root: Path) -> list[str]:
    """One sentence per module above the limit, longest first."""
    found = []
    for folder in FOLDERS:
        for module in (root / folder).rglob("*.py"):
            lines = len(module.read_text(encoding="utf-8").splitlines())
            if lines > LINES_MAX:
                found.append((lines, f"{module.relative_to(root)} has {lines} lines, at most {LINES_MAX} are allowed"))
    return [sentence for _, sentence in sorted(found, reverse=True)]


if __name__ == "__main__":
    sentences = too_long(Path(__file__).parents[2])
    print("\n".join(sentences) or "Every module is short enough.")
    sys.exit(bool(sentences))
