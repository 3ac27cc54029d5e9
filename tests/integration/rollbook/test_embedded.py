"""The launcher of the embedded servers: made, started, killed, started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nats
import psycopg
import pytest

from rollbook.embedded import binaries
from rollbook.embedded import postgres as embedded_postgres
from rollbook.embedded.nats import Nats
from rollbook.embedded.postgres import Postgres
from rollbook.embedded.process import ServerFailed, runs_in, unprivileged_account
from tests.support.waiting import until_sync


def test_a_database_of_the_shared_cluster_sorts_by_code_point_and_checks_its_pages(database: str) -> None:
    with psycopg.connect(database) as connection:
        row = connection.execute(
            "SELECT datlocprovider::text, datlocale, current_setting('data_checksums') FROM pg_database "
            "WHERE datname = current_database()"
        ).fetchone()
    assert row == ("b", "C.UTF-8", "on")


async def test_the_shared_nats_server_has_jetstream(nats_server: str, nats_prefix: str) -> None:
    client = await nats.connect(nats_server)
    stream = await client.jetstream().add_stream(name=nats_prefix, subjects=[f"{nats_prefix}.>"])
    assert stream.config.name == nats_prefix
    await client.jetstream().delete_stream(nats_prefix)
    await client.close()


def test_what_was_committed_is_there_after_kill_9_of_every_postgres_process(
    private_postgres: Callable[..., Postgres],
) -> None:
    postgres = private_postgres(migrated=False)
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    postgres.kill()
    postgres.start()
    with psycopg.connect(postgres.url("postgres")) as connection:
        assert connection.execute("SELECT one FROM kept").fetchone() == (1,)


def test_a_pid_file_left_by_a_power_cut_does_not_block_the_start(private_postgres: Callable[..., Postgres]) -> None:
    postgres = private_postgres(migrated=False)
    postgres.kill()
    pid_file = postgres.data / "postmaster.pid"
    # The same account runs a process with the pid of the old server: PostgreSQL alone would refuse to start.
    lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    postgres.start()
    assert postgres.pid is not None


def test_a_server_that_has_much_to_recover_is_given_its_time(private_postgres: Callable[..., Postgres]) -> None:
    """A recovery that asks an archive first, which takes its time to say that it has nothing."""
    postgres = private_postgres(settings={"restore_command": "sleep 1; false"})
    with psycopg.connect(postgres.url()) as connection:
        connection.execute("CREATE TABLE kept (n integer)")
    postgres.kill()
    (postgres.data / "recovery.signal").touch()
    started = time.monotonic()
    postgres.start(timeout_s=0.9)
    assert time.monotonic() - started > 0.9
    with psycopg.connect(postgres.url()) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_a_wrong_password_is_refused(private_postgres: Callable[..., Postgres]) -> None:
    postgres = private_postgres(migrated=False)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres.url("postgres").replace(postgres.password, "guess"))


def test_a_cluster_of_another_major_version_is_refused_with_both_versions(
    private_postgres: Callable[..., Postgres],
) -> None:
    postgres = private_postgres(migrated=False)
    postgres.stop()
    (postgres.data / "PG_VERSION").write_text("15\n")
    with pytest.raises(ServerFailed, match="made by PostgreSQL 15, this is 18"):
        postgres.start()


def test_a_taken_port_is_said_with_the_servers_own_words(
    private_postgres: Callable[..., Postgres], scratch_folder: Path
) -> None:
    taken = private_postgres(migrated=False)
    second = Postgres(scratch_folder / "second", port=taken.port, fsync=False)
    with pytest.raises(ServerFailed, match="Address already in use"):
        second.start()


def test_nats_keeps_its_port_over_a_kill(private_nats: Callable[..., Nats]) -> None:
    server = private_nats(sync_always=True)
    url = server.url
    server.kill()
    server.start()
    assert server.url == url


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another account")
def test_under_a_folder_closed_to_its_account_postgres_keeps_its_data_elsewhere(
    tmp_path: Path, scratch_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_postgres, "CLOSED_FOLDER_HOME", scratch_folder / "elsewhere")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    postgres = Postgres(closed / "data", fsync=False)
    postgres.start()
    postgres.stop()
    place = postgres.data
    assert place.parent == scratch_folder / "elsewhere"
    again = Postgres(closed / "data", fsync=False)
    again.start()
    again.stop()
    assert again.data == place
    assert embedded_postgres.left_over() == []
    (closed / "data/postgres").unlink()
    assert embedded_postgres.left_over() == [place]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another account")
def test_programs_in_a_closed_folder_are_copied_once_to_where_they_can_be_run(
    scratch_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries, "CACHE_FOLDER", scratch_folder / "cache")
    monkeypatch.setattr(binaries, "can_enter", lambda *_: False)
    copied = binaries.postgres_bin(unprivileged_account())
    assert copied.is_relative_to(scratch_folder / "cache")
    stamp = copied.stat().st_mtime_ns
    postgres = Postgres(scratch_folder / "data", fsync=False)
    postgres.start()
    postgres.stop()
    assert copied.stat().st_mtime_ns == stamp
    assert list((scratch_folder / "cache").iterdir()) == [copied.parents[2]]


def test_the_servers_end_with_their_parent_even_by_kill_9(scratch_folder: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path\n"
        "from rollbook.embedded.postgres import Postgres\n"
        "from rollbook.embedded.nats import Nats\n"
        f"postgres, nats = Postgres(Path({str(scratch_folder)!r}), fsync=False), Nats(Path({str(scratch_folder)!r}))\n"
        "postgres.start(); nats.start(); print(postgres.pid, nats.pid, flush=True); time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert all(runs_in(pid, str(scratch_folder)) for pid in pids)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    until_sync(lambda: not any(runs_in(pid, str(scratch_folder)) for pid in pids), what="the servers have ended")
