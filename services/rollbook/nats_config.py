"""`rollbook nats-config`: a configuration of nats-server with our users. What each may: `embedded/permissions.py`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final
from uuid import UUID

import rich_click as click

from rollbook.embedded.permissions import OPERATOR, SERVICES, User, authorization, integrator

FILE: Final = Path(__file__).parents[2] / "deploy" / "nats.conf"

_HEAD: Final = """\
# NATS for Rollbook: one user per service, each with the fewest subjects. Made by `rollbook nats-config`.
# Passwords come from the server's environment and begin with a letter, for the server takes digits for a number:
# {variables}.
port: 4222
max_payload: 1MB
jetstream {{
  store_dir: /data
  # Acknowledged means on disk: the default waits up to two minutes.
  sync_interval: always
}}
"""


@click.command(name="nats-config")
@click.option(
    "--integrator",
    "integrators",
    multiple=True,
    metavar="NAME:WORKSPACE",
    help="Another user, for one workspace's subjects only. May be repeated.",
)
def nats_config(integrators: tuple[str, ...]) -> None:
    """Print a configuration for nats-server, with one user per service and integrator.

    The passwords are read from the server's environment, $ROLLBOOK_NATS_<USER>_PASSWORD.
    """
    sys.stdout.write(configuration([*SERVICES, *map(_parsed, integrators)]))


def configuration(users: Iterable[User]) -> str:
    """The whole file."""
    users = list(users)
    variables = {name: f"ROLLBOOK_NATS_{_upper(name)}_PASSWORD" for name in (OPERATOR, *(user.name for user in users))}
    head = _HEAD.format(variables=", ".join(variables.values()))
    return head + authorization(users, {name: f"${variable}" for name, variable in variables.items()})


def _upper(name: str) -> str:
    return name.upper().replace("-", "_")


def _parsed(text: str) -> User:
    name, _, workspace = text.partition(":")
    taken = (OPERATOR, *(user.name for user in SERVICES))
    if not name.replace("-", "").replace("_", "").isalnum() or not name.isascii() or name in taken:
        raise click.BadParameter(f"{name!r} is no name: give letters, digits, - and _, none of {', '.join(taken)}")
    try:
        return integrator(name, UUID(workspace))
    except ValueError:
        raise click.BadParameter(f"{workspace!r} is no id of a workspace") from None


if __name__ == "__main__":
    FILE.write_text(configuration(SERVICES))
