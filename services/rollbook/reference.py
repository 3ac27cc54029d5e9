"""The settings as a reference: a table for the terminal and the one of the README, both out of the struct itself."""

from __future__ import annotations

import rich_click as click
from rich.table import Table
from rich.text import Text

from rollbook.context import console
from servicekit import environment
from servicekit.environment import Field


@click.command()
@click.option("--markdown", "as_markdown", is_flag=True, help="As the table of the README.")
def settings(as_markdown: bool) -> None:
    """List every setting, what it is for and its default."""
    if as_markdown:
        console.print(markdown(), markup=False, soft_wrap=True)
    else:
        console.print(table())


def markdown() -> str:
    """The README's table; a test compares it with what the README holds."""
    rows = [f"| `{_name(field)}` | {_shown(field.default)} | {field.description} |" for field in environment.fields()]
    return "\n".join(["| setting | default | what it is for |", "|---|---|---|", *rows])


def table() -> Table:
    found = Table(box=None, padding=(0, 2, 1, 0), show_edge=False)
    found.add_column("Setting", style="cyan", no_wrap=True)
    found.add_column("Default", style="dim")
    found.add_column("What it is for; what to give")
    for field in environment.fields():
        found.add_row(
            _name(field), field.default, Text(f"{field.description}\n").append(f"Give {field.wanted}.", style="dim")
        )
    return found


def _name(field: Field) -> str:
    return f"{field.variable}[_FILE]" if field.secret else field.variable


def _shown(default: str) -> str:
    return f"`{default}`" if default else ""
