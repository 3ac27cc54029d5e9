"""Named statements and the file they stand in."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from eventstore.sql import load


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "statements_of_a_test"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "statements_of_a_test", raising=False)
    load.cache_clear()
    return folder


def test_statements_come_by_name_without_their_comments(package: Path) -> None:
    (package / "a.sql").write_text(
        "-- What it is.\n\n-- one --\n-- Says why.\nSELECT 1;\n\n-- two --\nSELECT 2\nFROM t\n"
    )
    assert load("statements_of_a_test", "a.sql") == {"one": "SELECT 1", "two": "SELECT 2\nFROM t"}


def test_a_name_given_twice_is_refused(package: Path) -> None:
    (package / "b.sql").write_text("-- one --\nSELECT 1\n-- one --\nSELECT 2\n")
    with pytest.raises(ValueError, match="one is there twice"):
        load("statements_of_a_test", "b.sql")


def test_a_statement_without_a_name_is_refused(package: Path) -> None:
    (package / "c.sql").write_text("SELECT 1\n-- one --\nSELECT 2\n")
    with pytest.raises(ValueError, match="before the first name"):
        load("statements_of_a_test", "c.sql")
