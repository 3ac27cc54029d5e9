"""The `rollbook` command: which subcommands there are. What they do is in their modules, loaded when they are used."""

from __future__ import annotations

import importlib
from typing import Final

import rich_click as click

#: Name of the subcommand and where it is, in the order of `rollbook --help`.
COMMANDS: Final = {
    "up": "rollbook.up:up",
    "doctor": "rollbook.doctor:doctor",
    "status": "rollbook.status:status",
    "seed": "rollbook.seed:seed",
    "simulate": "rollbook.simulate:simulate",
    "migrate": "rollbook.migrate:migrate",
    "projection": "rollbook.projection:projection",
    "retention": "rollbook.retention:retention",
    "sweep": "rollbook.sweep:sweep",
    "events": "rollbook.events:events",
    "bridge": "rollbook.dead:bridge",
    "nats-config": "rollbook.nats_config:nats_config",
    "settings": "rollbook.reference:settings",
}


# Help texts dim what is only by the way.
click.rich_click.TEXT_MARKUP = "rich"


class Subcommands(click.RichGroup):
    """Imports a subcommand when it is asked for, so that each starts fast."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


@click.group(cls=Subcommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="rollbook", prog_name="rollbook")
def main() -> None:
    """Rollbook keeps the contacts of a business in a log that is never rewritten.

    Start here: `rollbook up --demo`
    """


if __name__ == "__main__":
    main()
