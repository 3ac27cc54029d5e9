"""Logs hold no personal data: neither through keys, nor through the text of errors, nor through libraries."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest
import structlog

from servicekit import logs

SECRET = "ann@example.org"


@pytest.fixture
def output() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    logs.configure("test", stream=stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(output: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.getvalue().splitlines()]


def test_keys_that_are_not_on_the_list_are_dropped_and_named(output: io.StringIO) -> None:
    structlog.get_logger("here").info("changed", position=7, email=SECRET)
    (line,) = lines(output)
    assert SECRET not in output.getvalue()
    assert (line["event"], line["position"], line["dropped"]) == ("changed", 7, ["email"])
    assert (line["process"], line["level"], line["logger"]) == ("test", "info", "here")


def test_an_error_is_logged_with_its_class_and_place_but_not_its_text(output: io.StringIO) -> None:
    try:
        try:
            raise KeyError(SECRET)
        except KeyError as error:
            raise ValueError(f"cannot parse {SECRET}") from error
    except ValueError:
        structlog.get_logger("here").exception("failed")
    (line,) = lines(output)
    assert SECRET not in output.getvalue()
    assert [each["error"] for each in line["errors"]] == ["ValueError", "KeyError"]
    assert "test_logs.py" in line["errors"][0]["at"][0]


def test_a_database_error_is_logged_with_its_state_and_constraint(output: io.StringIO) -> None:
    error = asyncpg.UniqueViolationError(f"Key (email)=({SECRET}) already exists.")
    error.constraint_name = "contact_email_key"
    structlog.get_logger("here").error("failed", exc_info=error)
    assert SECRET not in output.getvalue()
    assert lines(output)[0]["errors"][0]["error"].endswith("UniqueViolationError 23505 contact_email_key")


def test_a_library_that_logs_values_is_quoted_without_them(output: io.StringIO) -> None:
    try:
        raise ValueError(SECRET)
    except ValueError:
        logging.getLogger("library").exception("request of %s failed", SECRET)
    (line,) = lines(output)
    assert SECRET not in output.getvalue()
    assert (line["event"], line["errors"][0]["error"]) == ("request of %s failed", "ValueError")


def test_access_lines_with_their_query_strings_are_not_written(output: io.StringIO) -> None:
    logging.getLogger("uvicorn.access").info('"GET /v1/contacts?q=ann"')
    assert output.getvalue() == ""


def test_the_console_form_is_one_line_with_the_same_words(output: io.StringIO) -> None:
    stream = io.StringIO()
    logs.configure("test", log_format="console", stream=stream)
    structlog.get_logger("here").warning("behind", lag_events=3)
    assert "behind" in stream.getvalue()
    assert "lag_events=3" in stream.getvalue()
