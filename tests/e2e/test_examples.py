"""The examples for integrators, run against the real stack as an integrator would run them."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from rollbook.folder import Running
from tests.support import servers
from tests.support.examples import FOLDER, LANGUAGES, Following, Program, program, run, surroundings, written
from tests.support.stack import Api, Up
from tests.support.waiting import until_sync


@pytest.fixture(scope="module")
def up() -> Iterator[Up]:
    folder = servers.scratch_folder()
    up = Up(folder / "data")
    yield up
    up.stop()
    servers.remove_folder(folder)


@pytest.fixture(scope="module")
def running(up: Up) -> Running:
    return up.ready()


@pytest.fixture(params=LANGUAGES)
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def example(language: str, tmp_path_factory: pytest.TempPathFactory) -> Program:
    return program(language, tmp_path_factory.getbasetemp())


def test_a_consumer_gets_every_event_once_also_after_a_restart(
    running: Running, example: Program, tmp_path: Path, language: str
) -> None:
    environment = surroundings(running, CONSUMER=f"{language}-{uuid4().hex[:6]}")
    made: list[str] = []

    def seen() -> bool:
        return set(made) <= {event["subject"] for event in written(tmp_path / "events")}

    with Api(running) as api:
        for _ in range(2):
            following = Following(example("consumer"), environment, tmp_path / "events")
            made += [api.post("/v1/contacts", {"email": f"{uuid4().hex}@example.org"})["id"] for _ in range(3)]
            until_sync(seen, timeout_s=20, what="the consumer has seen the contacts")
            following.stop()
    found = [event for event in written(tmp_path / "events") if event["type"] == "rollbook.contact.created.v1"]
    assert [event["subject"] for event in found if event["subject"] in made] == made


def test_what_a_producer_sends_is_in_the_timeline_once(running: Running, example: Program) -> None:
    email, id_ = f"{uuid4().hex}@example.org", uuid4().hex
    data = json.dumps({"channel": "email", "message_name": "Spring"})
    with Api(running) as api:
        contact = api.post("/v1/contacts", {"email": email})["id"]
        for _ in range(2):
            sent = run([*example("producer"), "message.clicked", email, data], surroundings(running, ID=id_))
            assert (sent.returncode, sent.stdout.strip()) == (0, id_), sent.stderr
        found = until_sync(
            lambda: api.get(f"/v1/contacts/{contact}/activity")["items"], timeout_s=20, every_s=0.2, what="the activity"
        )
        later = api.get(f"/v1/contacts/{contact}/activity")["items"]
    assert [(each["id"], each["type"], each["source"]) for each in found] == [(id_, "message.clicked", "example")]
    assert later == found


def test_simulated_traffic_is_recorded_all_but_the_repeats(running: Running) -> None:
    with Api(running) as api:
        before = api.get("/v1/contacts/counts")["total"]
        played = run(
            [sys.executable, "-m", "rollbook", "simulate", "--rate", "400", "--count", "400", "--people", "20"],
            surroundings(running, ROLLBOOK_BOOTSTRAP_WORKSPACE=str(running.workspace)),
        )
        assert played.returncode == 0, played.stderr
        assert played.stdout.startswith("400 messages in ")
        people = int(played.stdout.split("\n")[1].split(" ")[0])
        until_sync(
            lambda: api.get("/v1/contacts/counts")["total"] - before == people,
            timeout_s=30,
            every_s=0.3,
            what="the people",
        )


def test_may_send_is_asked(running: Running, example: Program) -> None:
    yes, no = (f"{uuid4().hex}@example.org" for _ in range(2))
    with Api(running) as api:
        api.post("/v1/suppressions", {"channel": "email", "address": no, "reason": "asked"})
    asked = run([*example("may_send"), "email", yes, no], surroundings(running))
    assert (asked.returncode, asked.stdout) == (1, f"{yes}: yes\n{no}: no, blacklisted\n"), asked.stderr
    refused = run([*example("may_send"), "email", yes], surroundings(running, ROLLBOOK_KEY="rbk_wrong"))
    assert refused.returncode == 2
    assert "No valid credentials" in refused.stderr


def test_the_typescript_lock_names_no_place_to_install_from() -> None:
    folder = FOLDER / "typescript"
    assert "http" not in (folder / "package-lock.json").read_text().replace("https://opencollective.com", "")
    wanted = json.loads((folder / "package.json").read_text())
    pinned = wanted["dependencies"] | wanted["devDependencies"]
    assert all(version[0].isdigit() for version in pinned.values()), "versions are pinned"
    assert not (folder / "node_modules").exists() or shutil.which("npm")


def test_nats_refused_nothing_to_the_services(up: Up) -> None:
    """After all of the above: their permissions are enough for their work."""
    refused = [line for line in (up.folder / "logs" / "nats.log").read_text().splitlines() if "Violation" in line]
    assert refused == []
