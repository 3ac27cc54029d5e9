"""What the README says of settings is what the program knows of them."""

from __future__ import annotations

import re
from pathlib import Path

from rollbook import reference
from servicekit.settings import Settings

ROOT = Path(__file__).parents[2]


def test_every_setting_is_in_the_readme_as_the_program_describes_it() -> None:
    assert reference.markdown() in (ROOT / "README.md").read_text(), "put in what `rollbook settings --markdown` prints"


def test_every_setting_has_an_effect_somewhere() -> None:
    sources = "\n".join(
        path.read_text() for folder in ("services", "libs") for path in (ROOT / folder).rglob("*.py")
        if path.name != "environment.py"
    )  # fmt: skip
    unused = [name for name in Settings.__struct_fields__ if not re.search(rf"(settings|self)\.{name}\b", sources)]
    assert unused == []
