"""Nothing that a caller sent is part of a statement: neither values nor names, whatever they look like."""

from __future__ import annotations

import random
import re
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from contacts.contact.filtering import Parameters
from contacts.smartsearch.compile import compile_node
from contacts.smartsearch.fields import FIELDS, Schema
from contacts.smartsearch.moment import Moment
from contacts.smartsearch.parse import parse
from contacts.smartsearch.unchecked import DAY, INSTANT
from tests.property.search_world import SCHEMA, Chance

NOW: Final = datetime(2026, 11, 22, tzinfo=UTC)
CANARY: Final = "canary'; DROP TABLE contact; --"
#: All literals there are in the texts of this package.
LITERALS: Final = frozenset({"'{}'", "'[]'", "'number'", "'boolean'", "'string'", "'array'", "'external_id'",
                             "'not_subscribed'", "'$[*] ? (@.type() != \"string\")'", "'date'", "'timestamptz'",
                             f"'{DAY}'", f"'{INSTANT}'"})  # fmt: skip


def compiled(
    filter_: Any, schema: Schema = SCHEMA, *, workspace: str | None = None, position: int | None = None
) -> str:
    moment = Moment(now=NOW, time_zone="Europe/Berlin", position=position)
    return compile_node(
        parse(filter_, schema), moment=moment, parameters=Parameters(first=2), definitions={}, workspace=workspace
    )


@pytest.mark.parametrize("op", ["eq", "contains", "starts_with", "ends_with", "in"])
def test_values_are_parameters(op: str) -> None:
    value = [CANARY] if op == "in" else CANARY
    for name in (field.name for field in FIELDS.values() if field.type == "text"):
        assert "canary" not in compiled({"field": name, "op": op, "value": value})
    where = [{"property": f"properties.{CANARY}", "op": op, "value": value}]
    assert "canary" not in compiled({"activity": "web.canary", "where": where})
    last = {"aggregate": "last", "property": f"properties.{CANARY}"}
    assert "canary" not in compiled({"order": last, "op": op, "value": value})


def test_names_are_parameters_or_of_the_schema() -> None:
    assert "canary" not in compiled({"field": "consents.canary", "op": "eq", "value": "subscribed"})
    assert "canary" not in compiled({"field": "channels.canary.last_seen_at", "op": "exists"})
    assert "score" not in compiled({"field": "attributes.score", "op": "gt", "value": 1})


def test_no_statement_has_a_literal_but_those_of_its_author() -> None:
    chance = Chance(random.Random(7))
    for n in range(1_000):
        sql = compiled(chance.filter(), workspace="$1" if n % 2 else None, position=7 if n % 3 else None)
        assert set(re.findall(r"'(?:[^']|'')*'", sql)) <= LITERALS
