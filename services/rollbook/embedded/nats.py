"""One nats-server with JetStream out of the wheel: configured, started, stopped, killed. Streams are made elsewhere."""

from __future__ import annotations

import contextlib
import hmac
import json
import secrets
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Final

from rollbook.embedded import permissions, process
from rollbook.embedded.binaries import nats_server
from rollbook.embedded.process import ServerFailed, write_secret

STOP_STEPS: Final = ((signal.SIGTERM, 1.5),)
START_ATTEMPTS: Final = 5


class Nats:
    """A server in `folder` (`nats/`, `nats.password`, `nats.conf`). Its port stays the same over restarts."""

    name = "nats"

    def __init__(
        self,
        folder: Path,
        *,
        log: Path | None = None,
        port: int | None = None,
        monitor_port: int | None = None,
        sync_always: bool = True,
        max_file_store_bytes: int = 16 * 1024**3,
        max_memory_store_bytes: int = 256 * 1024**2,
    ) -> None:
        """`sync_always`: an acknowledged message survives a power cut; the server's default flushes every 2 minutes."""
        self.folder = folder.absolute()
        self.log = log or self.folder / "nats.log"
        self.port = port or process.free_port()
        self._port_is_ours_to_choose = port is None
        self._monitor_port = monitor_port
        self._sync_always = sync_always
        self._max_file_store_bytes = max_file_store_bytes
        self._max_memory_store_bytes = max_memory_store_bytes
        self._process: subprocess.Popen[bytes] | None = None
        self._wanted = False

    @property
    def url(self) -> str:
        """As the operator, who may do everything."""
        return self.url_of(permissions.OPERATOR)

    def url_of(self, user: str) -> str:
        """As one of the users of `permissions.SERVICES`."""
        return f"nats://{user}:{self.password_of(user)}@127.0.0.1:{self.port}"

    def password_of(self, user: str) -> str:
        """All passwords come from the one that is kept."""
        if user == permissions.OPERATOR:
            return self.password
        return hmac.new(self.password.encode(), user.encode(), "sha256").hexdigest()[:32]

    @property
    def password(self) -> str:
        return (self.folder / "nats.password").read_text().strip()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def exit_code(self) -> int | None:
        """None while it runs or before it ran."""
        return self._process.poll() if self._process else None

    def start(self, *, timeout_s: float = 30.0) -> None:
        """Start it and wait until it serves JetStream. Raises ServerFailed with the reason."""
        self._wanted = True
        program = nats_server()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if not (self.folder / "nats.password").exists():
            write_secret(self.folder / "nats.password", secrets.token_hex(16))
        for attempt in range(1, START_ATTEMPTS + 1):
            write_secret(self.folder / "nats.conf", self._configuration())
            arguments = [str(program), "-c", str(self.folder / "nats.conf")]
            self._process = process.spawn(arguments, log=self.log)
            if self._wait_ready(time.monotonic() + timeout_s):
                self._port_is_ours_to_choose = False
                return
            process.stop(self._process, *STOP_STEPS)
            if not self._wanted or not self._port_is_ours_to_choose or attempt == START_ATTEMPTS:
                break
            self.port = process.free_port()
        raise ServerFailed(f"nats-server did not start; {self.log} ends with\n{process.last_lines(self.log)}")

    def stop(self) -> None:
        """Orderly shutdown, kill -9 after 1.5 s."""
        self._wanted = False
        if self._process is not None:
            process.stop(self._process, *STOP_STEPS)

    def kill(self) -> None:
        """kill -9, as a power cut would."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        """Freeze it (SIGSTOP), so that connections stay open and nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _wait_ready(self, deadline: float) -> bool:
        assert self._process is not None
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError, ValueError):
                # Another server may have taken the port in the meantime: the name tells.
                information = greeting("127.0.0.1", self.port)
                if information["server_name"] == self._name and information.get("jetstream"):
                    return True
            time.sleep(0.01)
        return False

    @property
    def _name(self) -> str:
        return f"rollbook-{self.port}"

    def _configuration(self) -> str:
        sync = "always" if self._sync_always else "2m"
        names = (permissions.OPERATOR, *(user.name for user in permissions.SERVICES))
        passwords = {name: f'"{self.password_of(name)}"' for name in names}
        monitor = f"http: 127.0.0.1:{self._monitor_port}\n" if self._monitor_port else ""
        return (
            f"server_name: {self._name}\n"
            f"host: 127.0.0.1\nport: {self.port}\n{monitor}"
            f"{permissions.authorization(permissions.SERVICES, passwords)}"
            "max_payload: 1MB\n"
            "jetstream {\n"
            f"  store_dir: {json.dumps(str(self.folder / 'nats'))}\n"
            f"  max_file_store: {self._max_file_store_bytes}\n"
            f"  max_memory_store: {self._max_memory_store_bytes}\n"
            f"  sync_interval: {sync}\n"
            "}\n"
        )


def greeting(host: str, port: int, timeout_s: float = 1.0) -> dict[str, Any]:
    """What a NATS server says first on a new connection. Raises OSError or ValueError when it is not one."""
    with socket.create_connection((host, port), timeout=timeout_s) as connection, connection.makefile("rb") as lines:
        line = lines.readline(65536)
    if not line.startswith(b"INFO "):
        raise ValueError("not a NATS server")
    information: dict[str, Any] = json.loads(line[5:])
    return information
