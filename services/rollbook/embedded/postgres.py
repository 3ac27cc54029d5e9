"""One PostgreSQL cluster out of the wheel: made, started, stopped, killed. Makes no database and migrates nothing."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from rollbook.embedded import process
from rollbook.embedded.binaries import postgres_bin
from rollbook.embedded.process import Account, ServerFailed, write_secret

USER: Final = "rollbook"
MAJOR_VERSION: Final = "18"
#: Where root keeps a cluster whose wished folder PostgreSQL's account cannot enter; a symbolic link leads there.
CLOSED_FOLDER_HOME: Final = Path("/var/lib/rollbook")
STOP_STEPS: Final = ((signal.SIGINT, 1.5), (signal.SIGQUIT, 0.5))
#: A killed cluster's children let go of its memory within this time.
LEFTOVER_WAIT_S: Final = 10.0
ENVIRONMENT: Final = {"LC_ALL": "C", "TZ": "UTC", "PATH": "/usr/bin:/bin"}

SETTINGS: Final[Mapping[str, str]] = {
    "listen_addresses": "127.0.0.1",
    # A socket in a folder open to all would let other accounts of the machine knock; TCP asks them for the password.
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "wal_buffers": "16MB",
    "min_wal_size": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "jit": "off",
    "random_page_cost": "1.1",
    "log_min_messages": "warning",
    "log_timezone": "UTC",
    "timezone": "UTC",
    # Statements and details of errors hold personal data: errors are logged without them.
    "log_min_error_statement": "panic",
    "log_parameter_max_length_on_error": "0",
    "log_error_verbosity": "terse",
}
WITHOUT_DURABILITY: Final[Mapping[str, str]] = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


class Postgres:
    """A cluster in `folder` (`postgres/`, `postgres.password`). Its port stays the same over restarts."""

    name = "postgres"

    def __init__(
        self,
        folder: Path,
        *,
        log: Path | None = None,
        port: int | None = None,
        fsync: bool = True,
        settings: Mapping[str, str] | None = None,
        sync_new: bool | None = None,
    ) -> None:
        """Without `fsync` a power cut destroys it; `sync_new` (default: as `fsync`) flushes a cluster just made."""
        self.folder = folder.absolute()
        self.log = log or self.folder / "postgres.log"
        self.port = port or process.free_port()
        self._port_is_ours_to_choose = port is None
        self._settings = {**SETTINGS, **({} if fsync else WITHOUT_DURABILITY), **(settings or {})}
        self._sync_new = fsync if sync_new is None else sync_new
        self._process: subprocess.Popen[bytes] | None = None
        self._wanted = False

    def url(self, database: str = USER) -> str:
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    @property
    def password(self) -> str:
        return (self.folder / "postgres.password").read_text().strip()

    @property
    def data(self) -> Path:
        """The data folder itself, links resolved."""
        return (self.folder / "postgres").resolve()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def exit_code(self) -> int | None:
        """None while it runs or before it ran."""
        return self._process.poll() if self._process else None

    def start(self, *, timeout_s: float = 60.0) -> None:
        """Make the cluster where there is none, start it and wait until it accepts connections.

        A server that comes up is waited for without end: it may have much to recover, and one that was ended over it
        would have to begin again; `timeout_s` is for one that says nothing. What a killed run left behind is cleaned up
        first. Raises ServerFailed with the reason.
        """
        self._wanted = True
        account = process.unprivileged_account()
        binaries = postgres_bin(account)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if not (self.folder / "postgres").exists():
            self._create(binaries, account)
        self._check_version()
        _end_leftover(self.data)
        deadline = time.monotonic() + timeout_s
        leftover_deadline = time.monotonic() + LEFTOVER_WAIT_S
        while True:
            self._give_up_if_unwanted()
            offset = self.log.stat().st_size if self.log.exists() else 0
            self._process = self._spawn(binaries, account)
            if self._wait_ready(deadline):
                self._port_is_ours_to_choose = False
                return
            self._give_up_if_unwanted()
            said = self.log.read_bytes()[offset:].decode(errors="replace") if self.log.exists() else ""
            process.stop(self._process, *STOP_STEPS)
            if "pre-existing shared memory" in said and time.monotonic() < leftover_deadline:
                time.sleep(0.1)
            elif "Address already in use" in said and self._port_is_ours_to_choose:
                self.port = process.free_port()
            else:
                raise ServerFailed(f"PostgreSQL did not start; {self.log} ends with\n{process.last_lines(self.log)}")

    def _give_up_if_unwanted(self) -> None:
        if not self._wanted:
            raise ServerFailed("stopped while it was starting")

    def _spawn(self, binaries: Path, account: Account | None) -> subprocess.Popen[bytes]:
        settings = {**self._settings, "port": str(self.port)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return process.spawn(
            [str(binaries / "postgres"), "-D", str(self.data), *options],
            log=self.log,
            account=account,
            env=ENVIRONMENT,
            death_signal=signal.SIGINT,
        )

    def _wait_ready(self, deadline: float) -> bool:
        assert self._process is not None
        while self._process.poll() is None:
            status = self._status(self._process.pid)
            if status == "ready" or (status != "starting" and time.monotonic() > deadline):
                return status == "ready"
            time.sleep(0.01)
        return False

    def _status(self, pid: int) -> str | None:
        """The last line of its pid file: the server's own word, good for recovery too, and costs no connection."""
        with contextlib.suppress(OSError):
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            if len(lines) >= 8 and lines[0] == str(pid):
                return lines[7].strip()
        return None

    def stop(self) -> None:
        """Fast shutdown, then an immediate one (which the log repairs on the next start); about 2 s at most."""
        self._wanted = False
        if self._process is not None:
            process.stop(self._process, *STOP_STEPS)

    def kill(self) -> None:
        """kill -9 of the server and of every one of its processes, as a power cut would. Nothing is flushed."""
        if self._process is None or self._process.poll() is not None:
            return
        # Stopped first, so that it starts no new child while the children are counted.
        self._process.send_signal(signal.SIGSTOP)
        for pid in [self._process.pid, *children(self._process.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def _create(self, binaries: Path, account: Account | None) -> None:
        password_file = self.folder / "postgres.password"
        if not password_file.exists():
            write_secret(password_file, secrets.token_hex(16))
        target = self._place(account)
        building = target.with_name(f"{target.name}.new")
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(mode=0o700)
        with _readable_by(account, self.password) as password_copy:
            if account is not None:
                os.chown(building, account.uid, account.gid)
            made = subprocess.run(
                [
                    *(str(binaries / "initdb"), "-D", str(building), "-U", USER, "-A", "scram-sha-256"),
                    *("--pwfile", str(password_copy), "--data-checksums", "--encoding=UTF8", "--no-instructions"),
                    *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
                    # pg_trgm asks the C library what a letter is; plain C knows none but those of English.
                    f"--lc-ctype={_ctype()}",
                    *(() if self._sync_new else ("--no-sync",)),
                ],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                cwd="/",
                env=ENVIRONMENT,
                check=False,
                **process.as_account(account),
            )
        if made.returncode != 0:
            raise ServerFailed(f"initdb failed: {made.stderr.strip()}")
        # Renamed when complete: a run killed half way leaves no half cluster behind.
        building.rename(target)
        if target != self.folder / "postgres":
            (self.folder / "postgres").symlink_to(target)

    def _place(self, account: Account | None) -> Path:
        if account is None or process.can_enter(account, self.folder):
            return self.folder / "postgres"
        CLOSED_FOLDER_HOME.mkdir(mode=0o755, parents=True, exist_ok=True)
        place = CLOSED_FOLDER_HOME / f"postgres-{secrets.token_hex(4)}"
        # Whoever finds it can see whose it is, and the doctor whether that folder still exists.
        place.with_suffix(".for").write_text(f"{self.folder}\n")
        return place

    def _check_version(self) -> None:
        found = (self.data / "PG_VERSION").read_text().strip()
        if found != MAJOR_VERSION:
            raise ServerFailed(
                f"{self.data} was made by PostgreSQL {found}, this is {MAJOR_VERSION}: dump it with the old version, "
                "or start with another data folder"
            )


def left_over() -> list[Path]:
    """Clusters that no data folder leads to any more."""
    found = []
    for note in sorted(CLOSED_FOLDER_HOME.glob("postgres-*.for")):
        place = note.with_suffix("")
        if (Path(note.read_text().strip()) / "postgres").resolve() != place:
            found.append(place)
    return found


def children(pid: int) -> list[int]:
    """Process ids of the direct children, from /proc."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name stands in parentheses and may hold anything; what follows the last one is split by blanks.
            if stat.read_text(errors="replace").rpartition(")")[2].split()[1] == str(pid):
                found.append(int(stat.parent.name))
    return found


@contextlib.contextmanager
def _readable_by(account: Account | None, text: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="rollbook-") as scratch:
        path = Path(scratch) / "password"
        write_secret(path, text)
        if account is not None:
            os.chown(path, account.uid, account.gid)
            os.chown(scratch, account.uid, account.gid)
        yield path


def _ctype() -> str:
    """A locale of the C library that knows all letters, where there is one; without it names in other scripts are
    found by looking at everybody.
    """
    environment = {**ENVIRONMENT, "LC_ALL": "C.UTF-8"}
    try:
        known = subprocess.run(["locale", "charmap"], env=environment, capture_output=True, text=True, check=False)
    except OSError:
        return "C"
    return "C.UTF-8" if known.stdout.strip() == "UTF-8" else "C"


def _end_leftover(data: Path) -> None:
    """Stop a server that a killed run left on this folder, or drop the pid file of one that is gone.

    PostgreSQL itself refuses to start when the pid in the file was given to any other process of the same account.
    """
    pid_file = data / "postmaster.pid"
    with contextlib.suppress(OSError, ValueError, IndexError):
        pid = int(pid_file.read_text().splitlines()[0])
        deadline = time.monotonic() + LEFTOVER_WAIT_S
        number = signal.SIGINT
        while process.runs_in(pid, str(data)):
            os.kill(pid, number)
            if time.monotonic() > deadline - LEFTOVER_WAIT_S / 2:
                number = signal.SIGQUIT
            if time.monotonic() > deadline:
                raise ServerFailed(f"a PostgreSQL (process {pid}) already runs on {data} and does not stop")
            time.sleep(0.05)
        pid_file.unlink(missing_ok=True)
