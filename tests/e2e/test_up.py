"""`rollbook up` from the outside: starts, serves, keeps its data, restarts what crashes, leaves nothing behind."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from rollbook.embedded.nats import Nats
from tests.support.stack import Api, Up, alive
from tests.support.waiting import until_sync

STOP_WITHIN_S = 5.0
CONTACT = {"first_name": "Zoë", "last_name": "Müller", "email": "zoe@example.org", "phone": "+49 30 901820"}


@pytest.fixture
def start_up(scratch_folder: Path) -> Iterator[Callable[..., Up]]:
    started: list[Up] = []

    def start(*arguments: str, **environment: str) -> Up:
        started.append(Up(scratch_folder / "data", *arguments, environment=environment))
        return started[-1]

    yield start
    for up in started:
        up.stop()


def test_a_stack_stops_without_leftovers_and_its_data_is_there_at_the_next_start(start_up: Callable[..., Up]) -> None:
    up = start_up()
    running = up.ready()
    assert set(running.pids) == {"postgres", "nats", "projector", "api", "bridge"}
    assert set(alive(running.pids)) == set(running.pids)
    assert stat.S_IMODE((up.folder / "stack.json").stat().st_mode) == 0o600
    with Api(running) as api:
        made = api.post("/v1/contacts", CONTACT | {"source": "api"})
        assert api.get("/v1/contacts", q="zoe mull", min_position=api.position)["items"][0]["id"] == made["id"]
    up.says("Ready")
    assert running.api in up.said
    assert running.api_key in up.said

    assert up.stop() < STOP_WITHIN_S
    assert up.process.returncode == 0
    assert alive(running.pids) == {}
    assert not (up.folder / "stack.json").exists()

    again = start_up("--demo")
    then = again.ready()
    assert (then.api_key, then.workspace) == (running.api_key, running.workspace)
    with Api(then) as api:
        assert api.get(f"/v1/contacts/{made['id']}")["last_name"] == "Müller"
        again.says("5,000 contacts with")
        until_sync(lambda: api.get("/v1/contacts", limit=1)["total"]["count"] > 4_500, timeout_s=30)
    assert "Nothing stands in the way." in rollbook("doctor", again.folder)
    assert "contact build 2 is live" in rollbook("projection rebuild contact", again.folder)
    assert "contact build 1 is live" in rollbook("projection rollback contact", again.folder)
    assert "retired" in rollbook("projection list", again.folder)
    assert "0 keys follow the log again" in rollbook("projection retry contact", again.folder)
    assert "Log, lane 0: 22,7" in rollbook("status", again.folder)
    assert again.stop(signal.SIGINT) < STOP_WITHIN_S
    assert alive(then.pids) == {}


def test_a_second_stack_on_the_folder_is_refused_and_a_crashed_process_started_again(
    start_up: Callable[..., Up],
) -> None:
    first = start_up()
    running = first.ready()
    second = start_up()
    assert second.process.wait(20) == 1
    assert f"already runs on {first.folder} (process {first.process.pid}, {running.api})" in second.said

    os.kill(running.pids["api"], signal.SIGKILL)
    first.says("api runs again")
    assert "api was ended by SIGKILL; starting it again in 0.5 s" in first.said
    until_sync(lambda: first.ready().pids["api"] != running.pids["api"])
    with Api(first.ready()) as api:
        until_sync(lambda: _answers(api), timeout_s=30)

    # kill -9 of the parent: the kernel tells its children.
    pids = first.ready().pids
    first.process.kill()
    first.process.wait()
    until_sync(lambda: alive(pids) == {}, timeout_s=STOP_WITHIN_S, what="every process has ended")
    third = start_up()
    with Api(third.ready()) as api:
        assert api.get("/v1/contacts")["items"] == []


def test_servers_that_are_given_are_used_and_left_alone(
    start_up: Callable[..., Up], create_database: Callable[..., str], private_nats: Callable[..., Nats]
) -> None:
    nats = private_nats()
    workspace = "0190a6f4-9b4d-7c2e-8f10-0123456789ab"
    up = start_up(
        ROLLBOOK_DATABASE_URL=create_database(empty=True),
        ROLLBOOK_NATS_URL=nats.url,
        ROLLBOOK_BOOTSTRAP_KEY="a key of one's own choice".replace(" ", "-"),
        ROLLBOOK_BOOTSTRAP_WORKSPACE=workspace,
    )
    running = up.ready()
    assert set(running.pids) == {"projector", "api", "bridge"}
    assert (str(running.workspace), running.api_key) == (workspace, "a-key-of-one's-own-choice")
    with Api(running) as api:
        assert api.get("/v1/contacts")["items"] == []
    assert up.stop() < STOP_WITHIN_S
    assert nats.pid is not None


def test_wrong_settings_are_all_said_before_anything_is_started(start_up: Callable[..., Up]) -> None:
    up = start_up(ROLLBOOK_LOG_LEVEL="loud", ROLLBOOK_MASTER_KEY="c2hvcnQ=")
    assert up.process.wait(20) == 78
    assert "ROLLBOOK_LOG_LEVEL='loud' is not valid: give debug, info, warning or error" in up.said
    assert "ROLLBOOK_MASTER_KEY is not valid (a key is shorter than 32 bytes)" in up.said
    assert not up.folder.exists()


def rollbook(command: str, folder: Path) -> str:
    """What a subcommand says of the stack that runs on the folder."""
    done = subprocess.run(
        [sys.executable, "-m", "rollbook", *command.split(), "--data-dir", str(folder)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False,
        env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def _answers(api: Api) -> bool:
    try:
        return bool(api.client.get("/readyz").is_success)
    except httpx2.TransportError:
        return False
