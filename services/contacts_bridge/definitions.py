"""The JetStream streams of Rollbook as code: what each must look like, created and brought up to date at the start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import structlog

from contacts_bridge.broker import NO_ROOM, STREAM_NOT_FOUND, Broker
from contacts_bridge.errors import BrokerRefusal, BrokerTooOld, StreamMismatch

log = structlog.get_logger(__name__)

EVENTS: Final = "ROLLBOOK_EVENTS"
EVENTS_SUBJECTS: Final = "rollbook.events.v1.>"
OLDEST_SERVER: Final = (2, 12)
"""First nats-server with atomic batches, which the relay publishes in."""

EVENTS_BYTES: Final = 4 << 30
"""Room for some five million events; an operator may give the stream more or less (`nats stream edit`)."""

_SECOND_NS: Final = 1_000_000_000
_SMALLEST_BYTES: Final = 64 << 20


class StreamDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """A stream as this code needs it, in the words of the JetStream API."""

    name: str
    subjects: tuple[str, ...]
    #: Set for good when the stream is created; another value in an existing stream is an error.
    fixed: Mapping[str, Any]
    #: Put right at every start.
    managed: Mapping[str, Any]
    #: Only a beginning: an operator's later change (replicas, compression, more bytes) is left alone.
    initial: Mapping[str, Any]


def events_stream(*, max_bytes: int = EVENTS_BYTES, replicas: int = 1) -> StreamDefinition:
    """The feed of public events.

    Bounded by bytes and never by age: the newest message is the relay's bookmark, and an age limit would one day
    remove it. Deleting stays allowed, because erasing a person may have to reach single messages.
    """
    return StreamDefinition(
        name=EVENTS,
        subjects=(EVENTS_SUBJECTS,),
        fixed={"storage": "file", "retention": "limits"},
        managed={
            "discard": "old",
            "max_age": 0,
            "max_msgs": -1,
            "max_msgs_per_subject": -1,
            "duplicate_window": 120 * _SECOND_NS,
            "allow_atomic": True,
            "allow_direct": True,
        },
        initial={"max_bytes": max_bytes, "num_replicas": replicas, "compression": "s2"},
    )


async def ensure_stream(broker: Broker, wanted: StreamDefinition) -> None:
    """Creates the stream or brings it up to date; idempotent, and safe to run from two processes at once.

    Never drops a stored message and never takes back what an operator configured beyond this code's needs.
    Raises BrokerTooOld, StreamMismatch, BrokerUnavailable.
    """
    if broker.server_version < OLDEST_SERVER:
        raise BrokerTooOld(
            "nats-server {}.{} is too old, {}.{} is needed".format(*broker.server_version, *OLDEST_SERVER)
        )
    try:
        answer = await broker.api(f"STREAM.INFO.{wanted.name}")
    except BrokerRefusal as refusal:
        if refusal.code != STREAM_NOT_FOUND:
            raise
        await _create(broker, wanted)
    else:
        await _bring_up_to_date(broker, wanted, answer["config"])


async def _create(broker: Broker, wanted: StreamDefinition) -> None:
    config = {
        "name": wanted.name,
        "subjects": list(wanted.subjects),
        **wanted.fixed,
        **wanted.managed,
        **wanted.initial,
    }
    while True:
        try:
            await broker.api(f"STREAM.CREATE.{wanted.name}", config)
        except BrokerRefusal as refusal:
            # JetStream reserves max_bytes up front and refuses what the disk cannot hold: take what there is.
            if refusal.code != NO_ROOM or config["max_bytes"] <= _SMALLEST_BYTES:
                raise
            config["max_bytes"] = max(config["max_bytes"] // 2, _SMALLEST_BYTES)
            log.warning("JetStream has less room than wanted", stream_name=wanted.name, size_bytes=config["max_bytes"])
        else:
            log.info("stream created", stream_name=wanted.name, size_bytes=config["max_bytes"])
            return


async def _bring_up_to_date(broker: Broker, wanted: StreamDefinition, found: dict[str, Any]) -> None:
    wrong = {key: found.get(key) for key, value in wanted.fixed.items() if found.get(key) != value}
    if wrong or found.get("sealed") or found.get("mirror") or found.get("no_ack"):
        raise StreamMismatch(f"stream {wanted.name} cannot serve: it has {wrong or 'a mirror, a seal or no acks'}")
    changes = {key: value for key, value in wanted.managed.items() if found.get(key) != value}
    missing = [subject for subject in wanted.subjects if subject not in found.get("subjects", [])]
    if missing:
        changes["subjects"] = [*found.get("subjects", []), *missing]
    if not changes:
        return
    await broker.api(f"STREAM.UPDATE.{wanted.name}", found | changes)
    log.info("stream brought up to date", stream_name=wanted.name, setting=sorted(changes))
