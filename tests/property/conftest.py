"""Fixtures of the property tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.property.figures import FULL, SEED
from tests.support.report import Report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of this folder is run by `make property`, whether Hypothesis makes its histories or not."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.property)


@pytest.fixture
def property_report(request: pytest.FixtureRequest) -> Callable[[str], Report]:
    """`property_report("R6 model")`: a report with the seed of this run; `finish()` it when everything held."""
    return lambda guarantee: Report(guarantee, request.node.user_properties, seed=SEED, keep=FULL)
