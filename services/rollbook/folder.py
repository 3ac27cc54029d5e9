"""The data folder of one stack: its lock, its secrets, `stack.json`. What runs on it is elsewhere."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec

from rollbook.embedded.process import ServerFailed, write_secret
from servicekit.settings import Settings

MASTER_KEY: Final = "master.key"
API_KEY: Final = "api.key"


class Running(msgspec.Struct, kw_only=True):
    """What `stack.json` says of a running stack. The file is readable by its owner only: addresses hold passwords."""

    #: Base address of the HTTP API.
    api: str
    #: NATS URL, with user and password.
    nats: str
    #: PostgreSQL URL, with user and password.
    database: str
    #: The API key that owns `workspace`.
    api_key: str
    workspace: UUID
    #: Process id of `rollbook up`.
    pid: int
    #: Process ids by name: api, projector, bridge, and postgres and nats where they are ours.
    pids: dict[str, int]


class DataFolder:
    """Paths and small files below one folder. Creating the object touches nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        self.logs = self.path / "logs"
        self._stack_file = self.path / "stack.json"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one `rollbook up`; the lock goes with the process, however it ends.

        Raises ServerFailed when another one holds it, or when the folder cannot be written.
        """
        try:
            # When we are root, PostgreSQL's account has to pass through; nobody needs to look into the logs.
            self.path.mkdir(parents=True, exist_ok=True, mode=0o711 if os.geteuid() == 0 else 0o700)
            self.logs.mkdir(exist_ok=True, mode=0o700)
            descriptor = os.open(self.path / "up.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise ServerFailed(
                f"the data folder {self.path} cannot be used ({error.strerror}): make it writable, "
                "or choose another with --data-dir"
            ) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise ServerFailed(self._who_runs()) from None
        try:
            # A killed run may have left its own.
            self._stack_file.unlink(missing_ok=True)
            yield
        finally:
            self._stack_file.unlink(missing_ok=True)
            os.close(descriptor)

    def _who_runs(self) -> str:
        running = self.running()
        told = f" (process {running.pid}, {running.api})" if running else ""
        return f"Rollbook already runs on {self.path}{told}: stop that one, or choose another folder with --data-dir"

    def running(self) -> Running | None:
        """What the stack on this folder says of itself, None when none runs or it is still starting."""
        try:
            return msgspec.json.decode(self._stack_file.read_bytes(), type=Running)
        except (FileNotFoundError, PermissionError, msgspec.DecodeError):
            return None

    def is_locked(self) -> bool:
        """Whether a `rollbook up` holds the folder now."""
        try:
            descriptor = os.open(self.path / "up.lock", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def announce(self, running: Running) -> None:
        """Write `stack.json`; a reader sees the old or the new text, never half of it."""
        text = msgspec.json.format(msgspec.json.encode(running)).decode()
        building = self._stack_file.with_suffix(".new")
        write_secret(building, text)
        building.replace(self._stack_file)

    def master_key(self, settings: Settings) -> str:
        """The key of the settings, else the folder's own, made at the first use."""
        return settings.master_key or self._kept(MASTER_KEY, lambda: base64.b64encode(os.urandom(32)).decode())

    def has_master_key(self) -> bool:
        return (self.path / MASTER_KEY).exists()

    @property
    def api_key(self) -> str | None:
        """The key made at the first start, if one was."""
        path = self.path / API_KEY
        return path.read_text().strip() if path.exists() else None

    def keep_api_key(self, text: str) -> None:
        self._kept(API_KEY, lambda: text)

    def _kept(self, name: str, make: Callable[[], str]) -> str:
        path = self.path / name
        if not path.exists():
            building = path.with_name(f"{name}.new")
            write_secret(building, make())
            building.replace(path)
        return path.read_text().strip()
