"""`make bench`: runs all benchmarks or those named beside their peers; exits 1 where a goal is missed."""

from __future__ import annotations

import importlib
import platform
import sys
from datetime import UTC, datetime

import uvloop

#: Takes an hour to seed, so only who names it gets it.
APART = ("million",)
BENCHMARKS = (
    "append",
    "edit",
    "projection",
    "reading",
    "http",
    "merge",
    "may_send",
    "duplicates",
    "segments",
    "service",
    "relay",
    "ingest",
)


def main(names: list[str]) -> int:
    unknown = set(names) - {*BENCHMARKS, *APART}
    if unknown:
        print(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join((*BENCHMARKS, *APART))}")
        return 2
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, Python {platform.python_version()}, {platform.machine()}")
    reached = [uvloop.run(importlib.import_module(f"tests.bench.{name}").run()) for name in names or BENCHMARKS]
    return 0 if all(reached) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
