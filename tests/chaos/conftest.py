"""Fixtures of the kill tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.chaos.support.report import Report


@pytest.fixture
def chaos_report(request: pytest.FixtureRequest) -> Callable[[str], Report]:
    """`chaos_report("R1")`: a report with the seed of this run; `finish()` it when everything held."""
    return lambda guarantee: Report(guarantee, request.node.user_properties)
