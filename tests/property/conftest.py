"""Fixtures of the property tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.property.figures import FULL, SEED
from tests.support.report import Report


@pytest.fixture
def property_report(request: pytest.FixtureRequest) -> Callable[[str], Report]:
    """`property_report("R6 model")`: a report with the seed of this run; `finish()` it when everything held."""
    return lambda guarantee: Report(guarantee, request.node.user_properties, seed=SEED, keep=FULL)
