"""The life of a process: exit codes, signals, a stop that hangs."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import asyncio
from servicekit.run import run

async def main(settings, stop):
    {body}

run("test", main, needed=())
"""


def start(body: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(body=body)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={"ROLLBOOK_SHUTDOWN_GRACE_S": "0.2", **environment},
    )


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ("pass", 0, "stopped"),
        ("raise ValueError('ann@example.org')", 1, "ended by an error"),
        ("stop.fail('the connection to NATS was closed')", 1, "the connection to NATS was closed"),
    ],
)
def test_the_exit_code_says_how_it_ended(body: str, code: int, said: str) -> None:
    process = start(body)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == code
    assert said in output
    assert "ann@example.org" not in output


def test_wrong_settings_are_listed_and_end_with_78() -> None:
    process = start("pass", ROLLBOOK_API_PORT="x", ROLLBOOK_LOG_LEVEL="y")
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 78
    assert "ROLLBOOK_API_PORT" in output
    assert "ROLLBOOK_LOG_LEVEL" in output


@pytest.mark.parametrize("body", ["await stop.wait()", "await asyncio.sleep(60)"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order_even_while_it_hangs(body: str, number: signal.Signals) -> None:
    process = start(f"print('running', flush=True); {body}")
    assert process.stdout is not None
    while "running" not in process.stdout.readline():
        pass
    process.send_signal(number)
    process.communicate(timeout=5)
    assert process.returncode == 0
