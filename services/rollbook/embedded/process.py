"""Child processes that do not outlive us, unprivileged when we are root. Knows no server in particular."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

PR_SET_PDEATHSIG: Final = 1
LOG_KEEP_BYTES: Final = 10 * 1024 * 1024

# Resolved before any fork: nothing may be imported or looked up between fork and exec.
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


class ServerFailed(RuntimeError):
    """A server did not start or did not stay up; the text says why and ends with its last log lines."""


class Account(NamedTuple):
    """The account a server runs as."""

    uid: int
    gid: int


def unprivileged_account() -> Account | None:
    """`nobody` when we are root (PostgreSQL refuses to run as root), None when we can run it as ourselves."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise ServerFailed(
            "PostgreSQL does not run as root and this machine has no account `nobody`: run as an ordinary user"
        ) from None
    return Account(entry.pw_uid, entry.pw_gid)


def spawn(
    args: Sequence[str],
    *,
    log: Path,
    account: Account | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path = Path("/"),
    death_signal: int = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Start a process in its own session, writing to the end of `log`.

    On Linux the kernel sends it `death_signal` when the *thread* that called this ends, even by kill -9:
    call it from a thread that lives as long as the process should.
    """
    _rotate(log)
    with log.open("ab") as output:
        return subprocess.Popen(
            args,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=env,
            start_new_session=True,
            # Unsafe only for what takes locks another thread may hold; ours makes two system calls.
            preexec_fn=_die_with_parent(death_signal),  # noqa: PLW1509
            **as_account(account),
        )


def as_account(account: Account | None) -> dict[str, Any]:
    """The arguments of `subprocess` that make a child run as `account`."""
    if account is None:
        return {}
    return {"user": account.uid, "group": account.gid, "extra_groups": []}


def _die_with_parent(death_signal: int) -> Callable[[], None] | None:
    if _prctl is None:
        return None
    parent = os.getpid()

    def arrange() -> None:
        # After the change of user, which would clear the setting; the parent may be gone by now already.
        _prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return arrange


def _rotate(log: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > LOG_KEEP_BYTES:
            log.replace(log.with_suffix(".log.1"))


def stop(process: subprocess.Popen[bytes], *steps: tuple[int, float]) -> None:
    """Send each signal in turn and wait its seconds, until the process has ended. Ends with kill -9."""
    for number, seconds in steps:
        if process.poll() is not None:
            return
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
    if process.poll() is None:
        process.kill()
        process.wait()


def free_port() -> int:
    """A TCP port of the loopback interface nobody listens on now; it may be taken again before it is used."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def last_lines(log: Path, count: int = 12) -> str:
    """The end of a log file, for an error message."""
    with contextlib.suppress(OSError):
        return "\n".join(log.read_text(errors="replace").splitlines()[-count:])
    return ""


def can_enter(account: Account | None, folder: Path) -> bool:
    """Whether `account` can reach `folder` or its nearest existing parent. Tried, not computed: ACLs count too."""
    while not folder.exists():
        folder = folder.parent
    probe = subprocess.run(
        ["/bin/sh", "-c", 'cd "$1"', "sh", str(folder)],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        check=False,
        **as_account(account),
    )
    return probe.returncode == 0


def runs_in(pid: int, marker: str) -> bool:
    """Whether process `pid` is alive and its command line holds `marker`."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return False
        command = subprocess.run(
            ["ps", "-p", str(pid), "-o", "command="], capture_output=True, text=True, check=False
        ).stdout
    return marker in command


def write_secret(path: Path, text: str) -> None:
    """Create a file only its owner can read, from its first moment on; safe on disk when this returns."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())


def is_free(host: str, port: int) -> bool:
    """Whether this process could listen on the address now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        # As servers do, so that a port whose last connections are still closing counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
