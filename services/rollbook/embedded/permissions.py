"""Who may say and hear what on NATS: one user per service with the fewest subjects, as a nats-server configuration.

The embedded server and `deploy/nats.conf` are both made of this table. Consumers of other companies' code are users as
well: `integrator` gives one workspace's subjects and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple
from uuid import UUID

EVENTS: Final = "ROLLBOOK_EVENTS"
SEGMENTS: Final = "ROLLBOOK_SEGMENTS"
INBOX: Final = "ROLLBOOK_INBOX"
DEAD: Final = "ROLLBOOK_DEAD"
HELD: Final = "ROLLBOOK_HELD"
STREAMS: Final = (EVENTS, SEGMENTS, INBOX, DEAD, HELD)
#: The bridge's own consumer of erasures.
ERASING: Final = "rollbook_erasing"
#: Has every permission, to look after streams; what `stack.json` holds.
OPERATOR: Final = "rollbook"


class User(NamedTuple):
    """One user. Whatever is not named is refused."""

    name: str
    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()
    #: May answer whoever asks, and nobody else.
    answers: bool = False


API: Final = User(
    "api",
    # Dead letters are looked at, dropped, and sent to where they came from.
    publish=(
        "rollbook.inbox.v1.>",
        *(f"$JS.API.STREAM.{verb}.{DEAD}" for verb in ("INFO", "MSG.GET", "MSG.DELETE")),
    ),
    subscribe=(
        "_INBOX_api.>",
        "rollbook.svc.v1.>",
        *(f"$SRV.{verb}{rest}" for verb in ("PING", "INFO", "STATS") for rest in ("", ".rollbook", ".rollbook.*")),
    ),
    answers=True,
)
BRIDGE: Final = User(
    "bridge",
    publish=(
        "rollbook.events.v1.>",
        "rollbook.segments.v1.>",
        "rollbook.inbox.v1.>",
        "rollbook.dead.v1.>",
        "rollbook.held.v1.>",
        "$JS.API.INFO",
        # Made and brought up to date, never deleted, purged or restored; single letters are.
        *(f"$JS.API.STREAM.{verb}.{name}" for name in STREAMS for verb in ("INFO", "CREATE", "UPDATE", "MSG.GET")),
        *(f"$JS.API.DIRECT.GET.{name}{rest}" for name in STREAMS for rest in ("", ".>")),
        *(f"$JS.API.STREAM.MSG.DELETE.{name}" for name in (DEAD, HELD)),
        *(f"$JS.API.CONSUMER.{verb}.{EVENTS}.{ERASING}" for verb in ("CREATE", "INFO", "MSG.NEXT")),
        *(
            f"$JS.API.CONSUMER.{verb}.{name}{rest}"
            for name in (INBOX, DEAD, HELD)
            for verb, rest in (
                ("CREATE", ".>"),
                ("DURABLE.CREATE", ".*"),
                ("INFO", ".*"),
                ("MSG.NEXT", ".*"),
                ("DELETE", ".*"),
            )
        ),
        f"$JS.ACK.{EVENTS}.{ERASING}.>",
        f"$JS.ACK.{INBOX}.>",
        f"$JS.ACK.{DEAD}.>",
        f"$JS.ACK.{HELD}.>",
    ),
    subscribe=("_INBOX_bridge.>",),
)
SERVICES: Final = (API, BRIDGE)


def integrator(name: str, workspace: UUID) -> User:
    """Somebody of one workspace: asks, sends in, and reads its events by a durable consumer called `name`.

    The consumer's name is fixed, because whoever may pull from any name could take another workspace's messages; the
    filter is, because it is what keeps other workspaces out of it.
    """
    consumers = {EVENTS: f"rollbook.events.v1.{workspace}.>", SEGMENTS: f"rollbook.segments.v1.{workspace}.>"}
    return User(
        name,
        publish=(
            f"rollbook.svc.v1.{workspace}.>",
            f"rollbook.inbox.v1.{workspace}.>",
            *(f"$SRV.{verb}.rollbook" for verb in ("PING", "INFO")),
            *(f"$JS.API.CONSUMER.CREATE.{stream}.{name}.{subjects}" for stream, subjects in consumers.items()),
            *(f"$JS.API.CONSUMER.{verb}.{stream}.{name}" for stream in consumers for verb in ("INFO", "MSG.NEXT")),
            *(f"$JS.ACK.{stream}.{name}.>" for stream in consumers),
        ),
        subscribe=(f"_INBOX_{name}.>", *consumers.values()),
    )


def authorization(users: Iterable[User], passwords: Mapping[str, str]) -> str:
    """The `authorization` block; a password is a text in quotes or a `$VARIABLE` of the server's environment."""
    blocks = [f"    {{ user: {OPERATOR}, password: {passwords[OPERATOR]} }}"]
    blocks += [_block(user, passwords[user.name]) for user in users]
    return "authorization {\n  users: [\n" + "\n".join(blocks) + "\n  ]\n}\n"


def _block(user: User, password: str) -> str:
    publish = f"allow: {_subjects(user.publish)}" if user.publish else 'deny: ">"'
    answers = '        allow_responses: { max: 1, expires: "2m" }\n' if user.answers else ""
    return (
        f"    {{\n      user: {user.name}, password: {password}\n      permissions: {{\n"
        f"        publish: {{ {publish} }}\n"
        f"        subscribe: {{ allow: {_subjects(user.subscribe)} }}\n{answers}"
        "      }\n    }"
    )


def _subjects(subjects: Iterable[str]) -> str:
    return "[\n" + "".join(f"          {json.dumps(subject)}\n" for subject in subjects) + "        ]"
