"""`rollbook doctor`: looks at everything a stack needs, says what is wrong and what to do. Changes nothing."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import urlsplit

import asyncpg
import rich_click as click
from rich.console import Console
from rich.markup import escape

from eventstore import sql
from eventstore.migrate import head_revision
from rollbook.context import console, data_dir_option, run
from rollbook.embedded import process
from rollbook.embedded.binaries import nats_server, postgres_bin
from rollbook.embedded.nats import greeting
from rollbook.embedded.postgres import CLOSED_FOLDER_HOME, left_over
from rollbook.embedded.process import ServerFailed
from rollbook.folder import DataFolder
from rollbook.merges import contradictions
from rollbook.stack import check_master_key
from servicekit import environment
from servicekit.settings import Settings, parse_master_keys

DATABASE_VERSION_MIN: Final = 160000
NATS_VERSION_MIN: Final = (2, 12)
NATS_REMEDY: Final = "Rollbook needs nats-server 2.12 or newer"
DISK_LOW_BYTES: Final = 2 * 1024**3
DISK_FULL_BYTES: Final = 300 * 1024**2
CLOCK_DIFFERENCE_MAX_S: Final = 2.0
CONNECTIONS_SPARE_MIN: Final = 30
CONNECT_TIMEOUT_S: Final = 5.0
MARKS: Final = {"good": "[green]✓[/]", "warning": "[yellow]![/]", "wrong": "[red]✗[/]"}
QUERIES: Final = sql.load("rollbook", "queries.sql")


@click.command()
@data_dir_option
def doctor(data_dir: Path | None) -> None:
    """Say what is wrong here, and what to do about it."""
    sys.exit(run(examine(data_dir, console)))


class Finding(NamedTuple):
    """One thing looked at; `remedy` says what to do when it is not good."""

    state: Literal["good", "warning", "wrong"]
    text: str
    remedy: str = ""


def good(text: str) -> Finding:
    return Finding("good", text)


def warning(text: str, remedy: str) -> Finding:
    return Finding("warning", text, remedy)


def wrong(text: str, remedy: str) -> Finding:
    return Finding("wrong", text, remedy)


async def examine(data_dir: Path | None, console: Console) -> int:
    """Print the findings as they come; the exit code: 1 when something is wrong."""
    found = []
    async for finding in findings(data_dir):
        found.append(finding.state)
        console.print(f"{MARKS[finding.state]} {escape(finding.text)}", soft_wrap=True)
        if finding.remedy:
            console.print(f"    → {escape(finding.remedy)}", soft_wrap=True)
    if "wrong" in found:
        return 1
    console.print("[green]Nothing stands in the way.[/]")
    return 0


async def findings(data_dir: Path | None) -> AsyncIterator[Finding]:
    variables = {**os.environ, **({"ROLLBOOK_DATA_DIR": str(data_dir)} if data_dir else {})}
    yield _python()
    for sentence in environment.unknown(variables):
        yield warning(sentence, "`rollbook settings` lists them all")
    try:
        settings = environment.load(variables)
    except environment.InvalidSettings as invalid:
        for problem in invalid.problems:
            yield wrong(problem.partition(": give ")[0], "give " + problem.partition(": give ")[2])
        return
    folder = DataFolder(settings.data_dir)
    running = folder.running() if folder.is_locked() else None
    yield _folder(folder)
    yield judge_disk(folder)
    for place in left_over():
        yield warning(f"{place} belongs to a data folder that is gone", f"rm -r {place} {place}.for")
    if running is None:
        yield _port(settings)
        for finding in _wheels(settings, folder):
            yield finding
    database, nats = settings.database_url, settings.nats_url
    if running is not None:
        yield good(f"a stack runs here: {running.api} (process {running.pid})")
        database, nats = running.database, running.nats
    key = settings.master_key or (folder.master_key(settings) if folder.has_master_key() else "")
    if database:
        async for finding in _database(database, key):
            yield finding
    if nats:
        yield _nats(nats)


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return good(f"Python {version}")


def _folder(folder: DataFolder) -> Finding:
    nearest = folder.path
    while not nearest.exists():
        nearest = nearest.parent
    if not nearest.is_dir():
        return wrong(f"{nearest} is a file", "choose another data folder with --data-dir")
    if not os.access(nearest, os.W_OK | os.X_OK):
        return wrong(
            f"the data folder {folder.path} cannot be written by this account",
            f"make {nearest} writable, or choose another folder with --data-dir or ROLLBOOK_DATA_DIR",
        )
    return good(f"data folder {folder.path}" + ("" if folder.path.exists() else " (made at the first start)"))


def judge_disk(folder: DataFolder) -> Finding:
    nearest = folder.path
    while not nearest.exists():
        nearest = nearest.parent
    free = shutil.disk_usage(nearest).free
    text = f"{free / 1024**3:.1f} GiB free on the data folder's disk"
    if free < DISK_FULL_BYTES:
        return wrong(text, "make room: PostgreSQL stops when its disk is full, and goes on when there is room again")
    if free < DISK_LOW_BYTES:
        return warning(text, "make room soon: history grows and is never thrown away")
    return good(text)


def _port(settings: Settings) -> Finding:
    if process.is_free(settings.api_host, settings.api_port):
        return good(f"port {settings.api_port} on {settings.api_host} is free for the API")
    return wrong(
        f"port {settings.api_port} on {settings.api_host} is taken by another program or not ours to use",
        "stop that program, or choose another port with --port or ROLLBOOK_API_PORT",
    )


def _wheels(settings: Settings, folder: DataFolder) -> Iterator[Finding]:
    if not settings.database_url:
        yield _try(lambda: f"PostgreSQL comes from its wheel: {postgres_bin(None)}")
        yield _try(lambda: _account(folder))
    if not settings.nats_url:
        yield _try(lambda: f"nats-server comes from its wheel: {nats_server()}")


def _account(folder: DataFolder) -> str:
    account = process.unprivileged_account()
    if account is None:
        return "PostgreSQL runs as this account"
    if process.can_enter(account, folder.path):
        return "we are root: PostgreSQL runs as nobody, its data stays in the data folder"
    return (
        f"we are root, the data folder is closed to others: PostgreSQL runs as nobody, its data in {CLOSED_FOLDER_HOME}"
    )


def _try(look: Callable[[], str]) -> Finding:
    try:
        return good(look())
    except ServerFailed as failed:
        text, _, remedy = str(failed).partition(": ")
        return wrong(text, remedy)


async def _database(url: str, master_key: str) -> AsyncIterator[Finding]:
    place = f"{urlsplit(url).hostname}:{urlsplit(url).port or 5432}{urlsplit(url).path}"
    try:
        connection = await asyncpg.connect(url, timeout=CONNECT_TIMEOUT_S)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        yield wrong(
            f"the database {place} does not answer: {str(error) or type(error).__name__}",
            "check ROLLBOOK_DATABASE_URL, that the server runs, that its firewall and pg_hba.conf let us in",
        )
        return
    try:
        facts = await connection.fetchrow(QUERIES["database_facts"])
        here = datetime.now(UTC)
        assert facts is not None
        for finding in judge_database(dict(facts), place, here):
            yield finding
        async for finding in _schema(connection, url, master_key):
            yield finding
    finally:
        await connection.close()


def judge_database(facts: Mapping[str, Any], place: str, here: datetime) -> Iterator[Finding]:
    if facts["version"] < DATABASE_VERSION_MIN:
        yield wrong(
            f"the database {place} is PostgreSQL {facts['version_text']}", "Rollbook needs PostgreSQL 16 or newer"
        )
    else:
        yield good(f"the database {place} is PostgreSQL {facts['version_text']}")
    if facts["encoding"] != "UTF8":
        yield wrong(f"its encoding is {facts['encoding']}", "create a database with ENCODING 'UTF8'")
    ahead_s = (facts["now"] - here).total_seconds()
    if abs(ahead_s) > CLOCK_DIFFERENCE_MAX_S:
        yield wrong(
            f"its clock is {abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} this machine's",
            "synchronise both clocks (chrony, systemd-timesyncd): times in the log are the database's",
        )
    else:
        yield good("its clock agrees with this machine's")
    if facts["fsync"] != "on":
        yield wrong("fsync is off: a power cut can destroy the log", "set fsync = on in postgresql.conf and reload")
    spare = facts["connections_max"] - facts["connections"]
    if spare < CONNECTIONS_SPARE_MIN:
        yield warning(f"only {spare} more connections are possible", "raise max_connections, or put a pooler in front")


async def _schema(connection: asyncpg.Connection, url: str, master_key: str) -> AsyncIterator[Finding]:
    head = head_revision()
    revision = await _revision(connection)
    if revision == head:
        yield good(f"the log's schema is at revision {head}")
        if master_key:
            yield await _key(url, master_key)
        for contradiction in await contradictions(connection):
            yield warning(contradiction.text, contradiction.remedy)
    elif revision is None:
        facts = await connection.fetchrow(QUERIES["database_facts"])
        assert facts is not None
        if facts["can_create_roles"] and facts["can_create_schemas"]:
            yield good("the database holds no log yet: the first start makes it")
        else:
            yield wrong(
                "the database holds no log yet, and this account may not make it",
                "grant it CREATEROLE and CREATE on the database, or apply what `rollbook migrate --sql` prints",
            )
    else:
        yield warning(f"the log's schema is at revision {revision}, this program has {head}", "run `rollbook migrate`")


async def _revision(connection: asyncpg.Connection) -> str | None:
    try:
        found: str | None = await connection.fetchval(QUERIES["revision"])
    except asyncpg.UndefinedTableError:
        return None
    return found


async def _key(url: str, master_key: str) -> Finding:
    try:
        await check_master_key(url, parse_master_keys(master_key))
    except ServerFailed as failed:
        text, _, remedy = str(failed).partition(": ")
        return wrong(text, remedy)
    return good("the master key opens what is stored")


def _version(said: Mapping[str, Any]) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", str(said.get("version", "")))[:2])


def _nats(url: str) -> Finding:
    answer = good("")
    for part in url.split(","):
        address = urlsplit(part.strip())
        place = f"{address.hostname}:{address.port or 4222}"
        try:
            said = greeting(address.hostname or "", address.port or 4222, CONNECT_TIMEOUT_S)
        except (OSError, ValueError) as error:
            return wrong(
                f"NATS at {place} does not answer: {error}", "check ROLLBOOK_NATS_URL, and that the server runs"
            )
        if not said.get("jetstream"):
            return wrong(
                f"NATS at {place} runs without JetStream", "start nats-server with -js, or enable it in its file"
            )
        if _version(said) < NATS_VERSION_MIN:
            return wrong(f"NATS at {place} is version {said.get('version')}", NATS_REMEDY)
        answer = good(f"NATS {said.get('version')} with JetStream at {place}")
    return answer
