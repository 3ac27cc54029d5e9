"""Schemathesis over the whole description, against a running API: no 5xx, no answer that is not described (R12)."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Final

import pytest
import structlog

from contacts_api.decoding import Malformed
from contacts_api.errors import KINDS
from tests.integration.api.conftest import running_api

SEED: Final = 20261122
EXAMPLES_MAX: Final = 10
TIMEOUT_S: Final = 240
#: A deleted contact is still there to be read and restored, which is not a use after free. And what fits the schema can
#: still be refused: no schema says which phone numbers, positions and cursors exist.
NOT_MEANT: Final = "use_after_free,positive_data_acceptance"


async def fuzz(database: str, folder: Path, phases: str, *more: str) -> tuple[int | None, str]:
    """Exit code and report of one run."""
    async with running_api(database) as api:
        tenant = await api.tenant()
        await tenant.contact(email="ann@example.com")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{api.url}/schema"),
            *("--header", f"Authorization: Bearer {tenant.owner_key}"),
            *("--checks", "all", "--exclude-checks", NOT_MEANT),
            *("--phases", phases, "--max-examples", str(EXAMPLES_MAX)),
            *("--seed", str(SEED), "--no-shrink", *more, "--suppress-health-check", "all"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=folder,
            env=os.environ | {"NO_COLOR": "1", "COLUMNS": "160"},
        )
        output, _ = await asyncio.wait_for(process.communicate(), TIMEOUT_S)
    return process.returncode, output.decode()


@pytest.mark.timeout(TIMEOUT_S + 30)
async def test_no_input_gets_an_answer_that_is_not_described(module_database: str, tmp_path: Path) -> None:
    code, report = await fuzz(module_database, tmp_path, "examples,coverage,fuzzing,stateful", "--continue-on-failure")
    print(f"seed {SEED}:", *report.splitlines()[-8:], sep="\n")
    assert code == 0, report[-20_000:]


@pytest.mark.timeout(TIMEOUT_S + 30)
async def test_a_refusal_that_nobody_mapped_would_be_caught(
    module_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted bug without which a green run says nothing."""
    monkeypatch.delitem(KINDS, Malformed)
    with structlog.testing.capture_logs() as lines:
        code, report = await fuzz(module_database, tmp_path, "examples,coverage", "--max-failures", "1")
    assert code == 1
    assert "Server error" in report
    assert {line["event"] for line in lines} == {"a request failed"}
