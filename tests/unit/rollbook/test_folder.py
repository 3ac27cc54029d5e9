"""The data folder: one stack at a time, secrets for the owner only, `stack.json` as long as the stack runs."""

from __future__ import annotations

import base64
import os
import stat
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest

from rollbook.embedded.process import ServerFailed
from rollbook.folder import DataFolder, Running
from servicekit.settings import Settings


def running(folder: DataFolder) -> Running:
    return Running(
        api="http://127.0.0.1:1",
        nats="nats://x",
        database="postgresql://x",
        api_key="rbk_x",
        workspace=uuid4(),
        pid=os.getpid(),
        pids={"api": 7},
    )


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_second_stack_on_a_folder_is_told_who_runs_there(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    with folder.locked():
        folder.announce(running(folder))
        with pytest.raises(ServerFailed, match=r"already runs on .*/data \(process \d+, http://127.0.0.1:1\)"):
            DataFolder(tmp_path / "data").locked().__enter__()
        assert folder.is_locked()
    assert not folder.is_locked()


def test_stack_json_is_for_the_owner_only_and_goes_with_the_stack(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    with folder.locked():
        said = running(folder)
        folder.announce(said)
        assert mode(folder.path / "stack.json") == 0o600
        assert msgspec.json.decode((folder.path / "stack.json").read_bytes())["nats"] == "nats://x"
        assert folder.running() == said
    assert folder.running() is None


def test_the_master_key_is_made_once_for_the_owner_only(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    key = folder.master_key(Settings())
    assert len(base64.b64decode(key)) == 32
    assert DataFolder(tmp_path).master_key(Settings()) == key
    assert mode(tmp_path / "master.key") == 0o600


def test_a_master_key_that_is_given_is_used_and_not_kept(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    assert folder.master_key(Settings(master_key="given")) == "given"
    assert not folder.has_master_key()


def test_a_folder_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ServerFailed, match="choose another with --data-dir"):
        DataFolder(tmp_path / "file" / "data").locked().__enter__()
