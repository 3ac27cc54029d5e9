"""Every setting of every process: one frozen struct, filled from `ROLLBOOK_…`. Reading them is in `environment.py`."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

PREFIX: Final = "ROLLBOOK_"
DEFAULT_PORT: Final = 8080

Level = Literal["debug", "info", "warning", "error"]


def _setting(description: str, *, wanted: str, secret: bool = False) -> Meta:
    """`wanted` completes the sentence "… is not a valid value: give …"."""
    return Meta(description=description, extra={"wanted": wanted, "secret": secret})


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the environment says. A setting `x` is `ROLLBOOK_X`; a secret one may come as a path, `ROLLBOOK_X_FILE`."""

    # -- servers -------------------------------------------------------------------------------------------------
    database_url: Annotated[
        str,
        _setting(
            "PostgreSQL ≥ 16. Unset: `rollbook up` starts one of its own. The account needs CREATEROLE and CREATE on "
            "the database for the first migration.",
            wanted="postgresql://user:password@host:port/database",
            secret=True,
        ),
    ] = ""
    database_query_url: Annotated[
        str,
        _setting(
            "PostgreSQL that answers queries, such as a replica. Unset: the same as `database_url`.",
            wanted="postgresql://user:password@host:port/database",
            secret=True,
        ),
    ] = ""
    nats_url: Annotated[
        str,
        _setting(
            "NATS ≥ 2.12 with JetStream, several servers with commas. Unset: `rollbook up` starts one of its own.",
            wanted="nats://user:password@host:port",
            secret=True,
        ),
    ] = ""
    nats_replicas: Annotated[
        int,
        Meta(ge=1, le=5),
        _setting("Copies of each JetStream stream; 3 on a cluster of three.", wanted="1, 3 or 5"),
    ] = 1
    data_dir: Annotated[
        Path,
        _setting("Where `rollbook up` keeps everything: data, keys, logs, `stack.json`.", wanted="a folder"),
    ] = Path(".rollbook")

    # -- keys ----------------------------------------------------------------------------------------------------
    master_key: Annotated[
        str,
        _setting(
            "Wraps the data keys that encrypt personal data; without it nothing can be read any more. To rotate, give "
            "`2:<new>,1:<old>`: the highest number wraps new keys. Unset: `rollbook up` makes one in its data folder.",
            wanted="32 random bytes in base64 or hex (openssl rand -base64 32)",
            secret=True,
        ),
    ] = ""
    bootstrap_key: Annotated[
        str,
        _setting(
            "An API key that owns `bootstrap_workspace`. Unset: `rollbook up` makes one at its first start.",
            wanted="at least 8 characters without blanks",
            secret=True,
        ),
    ] = ""
    bootstrap_workspace: Annotated[
        UUID | None,
        _setting(
            "The workspace that `bootstrap_key` owns, made when it does not exist. Unset: a new one.", wanted="a UUID"
        ),
    ] = None

    # -- tokens --------------------------------------------------------------------------------------------------
    jwt_jwks: Annotated[
        str,
        _setting(
            "Public keys (JWKS) that JWTs are signed with, as a file or fetched. Unset: only API keys open anything.",
            wanted="a path, or an address that begins with https://",
        ),
    ] = ""
    jwt_issuer: Annotated[str, _setting("What `iss` of every JWT must be.", wanted="the issuer's name")] = ""
    jwt_audience: Annotated[
        str, _setting("What `aud` of every JWT must hold.", wanted="the name by which the issuer knows this service")
    ] = ""
    jwt_workspace_claim: Annotated[
        str, _setting("The claim with the id of the workspace.", wanted="the name of a claim")
    ] = "rollbook_workspace"
    jwt_role_claim: Annotated[
        str,
        _setting(
            "The claim with the role of somebody who is no member of the workspace; a member has the member's role.",
            wanted="the name of a claim",
        ),
    ] = "rollbook_role"

    # -- HTTP ----------------------------------------------------------------------------------------------------
    api_host: Annotated[
        str, _setting("Address the API listens on; 0.0.0.0 for every interface.", wanted="an address of this machine")
    ] = "127.0.0.1"
    api_port: Annotated[
        int, Meta(ge=1, le=65535), _setting("Port the API listens on.", wanted="a port from 1 to 65535")
    ] = DEFAULT_PORT
    position_wait_s: Annotated[
        float,
        Meta(gt=0, le=60),
        _setting(
            "How long a query with `Rollbook-Min-Position` waits for its read model before it answers 503.",
            wanted="seconds, above 0 and up to 60",
        ),
    ] = 5.0

    # -- work ----------------------------------------------------------------------------------------------------
    append_pool_size: Annotated[
        int, Meta(ge=2, le=64), _setting("Connections of a process to the log.", wanted="2 to 64")
    ] = 8
    query_pool_size: Annotated[
        int, Meta(ge=1, le=64), _setting("Connections of an API process to the read models.", wanted="1 to 64")
    ] = 8
    facet_memory_mb: Annotated[
        int,
        Meta(ge=0, le=65_536),
        _setting(
            "Memory of an API process for exact counts of large workspaces; 0: PostgreSQL counts them.",
            wanted="megabytes, 0 to 65536",
        ),
    ] = 512
    projector_batch_size: Annotated[
        int,
        Meta(ge=1, le=20_000),
        _setting("Most events a projector folds in one transaction.", wanted="1 to 20000"),
    ] = 2000
    relay_batch_size: Annotated[
        int,
        Meta(ge=1, le=5_000),
        _setting("Most events the relay has on the way to JetStream at once.", wanted="1 to 5000"),
    ] = 500
    webhook_targets: Annotated[
        Literal["public", "any"],
        _setting(
            "Where webhooks may lead: to public addresses over HTTPS, or anywhere, also over HTTP.",
            wanted="public or any",
        ),
    ] = "public"
    webhook_give_up_s: Annotated[
        float,
        Meta(gt=0, le=2_592_000),
        _setting("A webhook that failed for so long is disabled.", wanted="seconds, up to 2592000 (30 days)"),
    ] = 259_200.0
    dead_letter_days: Annotated[
        int,
        Meta(ge=1, le=3_650),
        _setting("How long the bridge keeps inbound messages that could not be recorded.", wanted="days, 1 to 3650"),
    ] = 90
    poll_interval_s: Annotated[
        float,
        Meta(ge=0.01, le=60),
        _setting(
            "How often projector and bridge look for events when no notification came.", wanted="seconds, 0.01 to 60"
        ),
    ] = 0.5
    retention_interval_s: Annotated[
        float,
        Meta(ge=1, le=86_400),
        _setting(
            "How often the projector looks for deleted contacts that are due to be erased (`deleted_retention_days`).",
            wanted="seconds, 1 to 86400",
        ),
    ] = 900.0

    # -- operation -----------------------------------------------------------------------------------------------
    metrics_host: Annotated[
        str, _setting("Address of `/metrics`, `/healthz` and `/readyz` of projector and bridge.", wanted="an address")
    ] = "127.0.0.1"
    metrics_port: Annotated[
        int,
        Meta(ge=0, le=65535),
        _setting(
            "Port of the same, per process; 0 for none. The API serves them itself; `rollbook up` chooses ports.",
            wanted="a port, or 0",
        ),
    ] = 0
    lag_limit_s: Annotated[
        float,
        Meta(gt=0),
        _setting("A read model further behind than this makes `/readyz` say no.", wanted="seconds above 0"),
    ] = 30.0
    shutdown_grace_s: Annotated[
        float,
        Meta(gt=0, le=300),
        _setting("How long a process may finish what it has begun when told to stop.", wanted="seconds, up to 300"),
    ] = 3.0
    log_level: Annotated[
        Level, _setting("Least important message that is logged.", wanted="debug, info, warning or error")
    ] = "info"
    log_format: Annotated[Literal["json", "console"], _setting("How log lines look.", wanted="json or console")] = (
        "json"
    )

    @property
    def query_url(self) -> str:
        """The database that answers queries."""
        return self.database_query_url or self.database_url

    @property
    def master_keys(self) -> dict[int, bytes]:
        """Master keys by number; the highest number is the current one."""
        return parse_master_keys(self.master_key)


def parse_master_keys(text: str) -> dict[int, bytes]:
    """`<key>` or `2:<key>,1:<key>`, each in base64 or hex and at least 32 bytes long. Raises ValueError."""
    keys: dict[int, bytes] = {}
    for part in text.split(","):
        number, colon, encoded = part.strip().rpartition(":")
        if colon and not (number.isascii() and number.isdigit() and int(number) < 256):
            raise ValueError("the number before a colon is not from 0 to 255")
        key = _decode_key(encoded)
        if len(key) < 32:
            raise ValueError("a key is shorter than 32 bytes")
        if keys.setdefault(int(number or 1), key) is not key:
            raise ValueError("a number is given twice")
    return keys


def _decode_key(encoded: str) -> bytes:
    # Hex first: 64 hex digits would also pass as base64, of another key.
    try:
        return bytes.fromhex(encoded)
    except ValueError:
        try:
            return base64.b64decode(
                encoded.replace("-", "+").replace("_", "/") + "=" * (-len(encoded) % 4), validate=True
            )
        except binascii.Error:
            raise ValueError("a key is neither base64 nor hex") from None
