"""Fixtures of the kill tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor

import pytest

from tests.chaos.support.report import Report


@pytest.fixture
def chaos_report(request: pytest.FixtureRequest) -> Callable[[str], Report]:
    """`chaos_report("R1")`: a report with the seed of this run; `finish()` it when everything held."""
    return lambda guarantee: Report(guarantee, request.node.user_properties)


@pytest.fixture
def server_thread() -> Iterator[Executor]:
    """Where servers are started again without holding up the loop: they end with the thread that started them."""
    with ThreadPoolExecutor(1) as thread:
        yield thread
