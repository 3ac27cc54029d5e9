"""`rollbook up` as people see it: starting, what to try next, what goes wrong, stopping. The work is in `stack.py`."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sys
import time
from pathlib import Path
from typing import Final

import msgspec
import rich_click as click
from rich.console import Console
from rich.markup import escape

from eventstore.errors import EventStoreError
from rollbook.context import console, data_dir_option, run, settings_of
from rollbook.embedded.process import ServerFailed, free_port, is_free
from rollbook.folder import DataFolder
from rollbook.follow import LogFollower
from rollbook.stack import Stack
from servicekit.run import EXIT_FAILED
from servicekit.settings import DEFAULT_PORT, Settings

FOLLOW_INTERVAL_S: Final = 0.25
#: A second signal within this time is the first one once more: make hands on what its whole group got already.
SAME_SIGNAL_S: Final = 1.0
PORTS_TRIED: Final = 20
EXAMPLE: Final = '{"first_name": "Zoë", "last_name": "Müller", "email": "zoe@example.org", "phone": "+49 30 901820"}'
COLOURS: Final = {"warning": "yellow", "error": "red", "critical": "red"}


@click.command()
@data_dir_option
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port of the API; 0: any free one.  [dim]\\[default: 8080][/]"
)
@click.option("--demo", is_flag=True, help="Fill the workspace with 5,000 contacts and 90 days of history, once.")
def up(data_dir: Path | None, port: int | None, demo: bool) -> None:
    """Start everything and keep it running until Ctrl-C.

    PostgreSQL and NATS come from their wheels unless $ROLLBOOK_DATABASE_URL and $ROLLBOOK_NATS_URL name others.
    The data stays in the data folder; the next start finds it.
    """
    settings = settings_of(data_dir)
    if port is not None:
        settings = msgspec.structs.replace(settings, api_port=port)
    wished = port is not None or bool(os.environ.get("ROLLBOOK_API_PORT"))
    sys.exit(run(stay_up(settings, demo=demo, console=console, port_is_wished=wished)))


async def stay_up(settings: Settings, *, demo: bool, console: Console, port_is_wished: bool) -> int:
    """Run a stack until a signal says stop; the exit code. Everything it started has ended when this returns."""
    folder = DataFolder(settings.data_dir)
    stop = asyncio.Event()
    try:
        with folder.locked():
            settings = with_free_port(settings, console, wished=port_is_wished)
            stack = Stack(
                settings, folder, say=lambda text: console.print(f"  [dim]·[/] {escape(text)}", soft_wrap=True)
            )
            _on_signals(stop, stack, console)
            console.print(f"[bold]Rollbook[/] on [cyan]{escape(str(folder.path))}[/]", soft_wrap=True)
            try:
                return await _live(stack, stop, console, demo=demo)
            finally:
                began = time.monotonic()
                await stack.stop()
                seconds = time.monotonic() - began
                console.print(
                    f"Stopped in {seconds:.1f} s. The data stays in {escape(str(folder.path))}", soft_wrap=True
                )
    except ServerFailed as failed:
        console.print(f"[red]Rollbook did not start:[/] {escape(str(failed))}", soft_wrap=True)
        return EXIT_FAILED


async def _live(stack: Stack, stop: asyncio.Event, console: Console, *, demo: bool) -> int:
    following = asyncio.create_task(_follow(stack, console))
    stopping = asyncio.create_task(stop.wait())
    starting = asyncio.create_task(_start(stack, demo=demo, console=console))
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            await stopping
        return 0
    finally:
        for task in (starting, stopping, following):
            task.cancel()
        await asyncio.gather(starting, stopping, following, return_exceptions=True)


async def _start(stack: Stack, *, demo: bool, console: Console) -> None:
    began = time.monotonic()
    await stack.start()
    _welcome(stack, console, time.monotonic() - began)
    if demo:
        # A quarter of what this command takes to load, and rarely wanted.
        from rollbook.seed import seed_demo  # noqa: PLC0415

        try:
            await seed_demo(stack.database_url, stack.master_key, stack.workspace, console)
        except (EventStoreError, OSError) as error:
            console.print(f"[yellow]Seeding stopped:[/] {escape(str(error))}; `rollbook seed` goes on from there")


def _on_signals(stop: asyncio.Event, stack: Stack, console: Console) -> None:
    asked_at = 0.0

    def stop_or_kill() -> None:
        nonlocal asked_at
        if not stop.is_set():
            asked_at = time.monotonic()
            console.print("\nStopping … (once more: at once)")
            stop.set()
        elif time.monotonic() - asked_at > SAME_SIGNAL_S:
            stack.supervisor.kill()
            os._exit(EXIT_FAILED)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop_or_kill)


async def _follow(stack: Stack, console: Console) -> None:
    def show(name: str, level: str, text: str) -> None:
        console.print(f"  [{COLOURS.get(level, 'default')}]{name:>9}[/]  {escape(text)}", soft_wrap=True)

    followers = [LogFollower(name, stack.folder.logs / f"{name}.log", show) for name in ("api", "projector", "bridge")]
    while True:
        for follower in followers:
            follower.follow()
        await asyncio.sleep(FOLLOW_INTERVAL_S)


def with_free_port(settings: Settings, console: Console, *, wished: bool) -> Settings:
    """The settings with a port to listen on. Raises ServerFailed when a port somebody wished for is taken."""
    port = settings.api_port
    if port == 0:
        return msgspec.structs.replace(settings, api_port=free_port())
    if is_free(settings.api_host, port):
        return settings
    if wished:
        raise ServerFailed(f"port {port} is taken by another program: choose another with --port (0: any free one)")
    for other in range(DEFAULT_PORT + 1, DEFAULT_PORT + PORTS_TRIED):
        if is_free(settings.api_host, other):
            console.print(f"  [dim]·[/] port {port} is taken by another program; the API takes {other}")
            return msgspec.structs.replace(settings, api_port=other)
    raise ServerFailed(f"ports {port} to {port + PORTS_TRIED - 1} are all taken: choose one with --port")


def _welcome(stack: Stack, console: Console, seconds: float) -> None:
    lines = [
        "",
        f"[green]Ready[/] in {seconds:.1f} s",
        "",
        f"  API         [cyan]{stack.api_url}[/]   (in the browser: [cyan]{stack.api_url}/docs[/])",
        f"  API key     {stack.api_key}",
        f"  Workspace   {stack.workspace}",
        f"  Addresses   {escape(str(stack.folder.path / 'stack.json'))}",
        f"  Logs        {escape(str(stack.folder.logs))}",
        "",
    ]
    if stack.postgres is not None:
        lines += ["  [dim]PostgreSQL and NATS came with Rollbook: good for development and for trying it out.[/]", ""]
    lines += ["[bold]Try[/]", "", *_examples(stack), "", "Stop with Ctrl-C."]
    console.print(*lines, sep="\n", soft_wrap=True, highlight=False)


def _examples(stack: Stack) -> list[str]:
    api = stack.api_url
    return [
        f"  export KEY={shlex.quote(stack.api_key)}",
        "",
        "  [dim]# a contact; the phone is checked and stored in its international form[/]",
        f'  curl -sw "\\n" {api}/v1/contacts -H "Authorization: Bearer $KEY" -H "Content-Type: application/json" \\',
        f"    -d '{EXAMPLE}'",
        "",
        "  [dim]# its event, as it is published on NATS; -f goes on with new ones[/]",
        f"  {_command(stack.folder)}",
        "",
        "  [dim]# found by any part, accents and case ignored[/]",
        f'  curl -sw "\\n" "{api}/v1/contacts?q=zoe%20mull" -H "Authorization: Bearer $KEY"',
    ]


def _command(folder: DataFolder) -> str:
    """`rollbook events tail` as it can be typed in this place."""
    program = Path(sys.executable).with_name("rollbook")
    here = Path.cwd()
    shown = program.relative_to(here) if program.is_relative_to(here) else program
    chosen = "" if folder.path == here / Settings().data_dir else f" --data-dir {shlex.quote(str(folder.path))}"
    return f"{shown} events tail{chosen}"
