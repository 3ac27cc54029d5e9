"""`python -m tests.golden`: writes the missing files, and never touches one that is there."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from contacts.catalog import CODEC
from eventstore.codec import EventType
from tests.golden.examples import cleared, full, sparse

FOLDER: Final = Path(__file__).parent


def path_of(name: str, schema_version: int) -> Path:
    return FOLDER / f"{name}.v{schema_version}.json"


def made(event_type: EventType) -> dict[str, Any]:
    """What the log stores for each example, and what it means to a reader."""
    golden = {}
    for build in (full, sparse, cleared):
        example = build(event_type.struct)
        _, _, payload = CODEC.encode(example)
        golden[build.__name__] = {"payload": payload.hex(), "means": json.loads(msgspec.json.encode(example))}
    return golden


def main() -> int:
    for event_type in CODEC:
        path = path_of(event_type.name, event_type.schema_version)
        if not path.exists():
            path.write_text(json.dumps(made(event_type), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            print(f"made {path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
