"""The streams and consumers of Rollbook as code: what each must look like, put right and compared at the start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import structlog

from contacts_bridge.broker import CONSUMER_NOT_FOUND, NO_ROOM, STREAM_NOT_FOUND, Broker
from contacts_bridge.errors import BrokerRefusal, BrokerTooOld, ConsumerMismatch, StreamMismatch
from servicekit.dead_letters import PREFIX as DEAD_PREFIX
from servicekit.dead_letters import STREAM as DEAD

log = structlog.get_logger(__name__)

EVENTS: Final = "ROLLBOOK_EVENTS"
EVENTS_SUBJECTS: Final = "rollbook.events.v1.>"
INBOX: Final = "ROLLBOOK_INBOX"
INBOX_PREFIX: Final = "rollbook.inbox.v1"
HELD: Final = "ROLLBOOK_HELD"
HELD_PREFIX: Final = "rollbook.held.v1"
INGEST: Final = "rollbook_ingest"
"""The durable consumer of the inbox, shared by all bridges."""
MATCHING: Final = "rollbook_matching"
"""The durable consumer of what waits for a contact."""
ERASING: Final = "rollbook_erasing"
"""The durable consumer of erasures, after which letters are taken away."""
OLDEST_SERVER: Final = (2, 12)
"""First nats-server with atomic batches, which the relay publishes in."""

EVENTS_BYTES: Final = 4 << 30
"""Room for some five million events; an operator may give the stream more or less (`nats stream edit`)."""

INBOX_BYTES: Final = 4 << 30
"""Room for what was not read yet. When it is full, senders are refused instead of messages dropped."""
DEAD_BYTES: Final = 1 << 30
DEAD_DAYS: Final = 90
HELD_BYTES: Final = 1 << 30
HELD_DAYS: Final = 30
"""Whoever has not become a contact by then never will, and what is held of them is personal data of a stranger."""
AGE_RESERVE_DAYS: Final = 1
"""So much later than the bridge, which writes over the bytes of what is too old, JetStream lets go of it by itself."""
ACK_WAIT_S: Final = 60
ACKS_PENDING_MAX: Final = 10_000

_SECOND_NS: Final = 1_000_000_000
_DAY_NS: Final = 86_400 * _SECOND_NS
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

    Deleting stays allowed, because erasing a person may have to reach single messages.
    """
    return bookmarked_stream(EVENTS, EVENTS_SUBJECTS, max_bytes=max_bytes, replicas=replicas)


def bookmarked_stream(name: str, subjects: str, *, max_bytes: int, replicas: int) -> StreamDefinition:
    """A stream to which one relay adds.

    Bounded by bytes and never by age: the newest message is the relay's bookmark, and an age limit would one day
    remove it.
    """
    return StreamDefinition(
        name=name,
        subjects=(subjects,),
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


def inbox_stream(*, max_bytes: int = INBOX_BYTES, replicas: int = 1) -> StreamDefinition:
    """What other services send in, until it is recorded: a message leaves when it is acknowledged."""
    return StreamDefinition(
        name=INBOX,
        subjects=(f"{INBOX_PREFIX}.>",),
        fixed={"storage": "file", "retention": "workqueue"},
        managed={
            # Never the oldest: that is what nobody has read yet.
            "discard": "new",
            "max_age": 0,
            "max_msgs": -1,
            "max_msgs_per_subject": -1,
            "duplicate_window": 120 * _SECOND_NS,
        },
        initial={"max_bytes": max_bytes, "num_replicas": replicas, "compression": "s2"},
    )


def dead_stream(*, max_bytes: int = DEAD_BYTES, replicas: int = 1, days: int = DEAD_DAYS) -> StreamDefinition:
    """What could not be recorded, with the reason; every letter has a subject of its own, so none is there twice."""
    return StreamDefinition(
        name=DEAD,
        subjects=(f"{DEAD_PREFIX}.>",),
        fixed={"storage": "file", "retention": "limits"},
        managed={**_letters_for(days), "allow_direct": True},
        initial={"max_bytes": max_bytes, "num_replicas": replicas, "compression": "s2"},
    )


def held_stream(*, max_bytes: int = HELD_BYTES, replicas: int = 1) -> StreamDefinition:
    """What strangers did, until there is a contact for it."""
    return StreamDefinition(
        name=HELD,
        subjects=(f"{HELD_PREFIX}.>",),
        fixed={"storage": "file", "retention": "workqueue"},
        managed=_letters_for(HELD_DAYS),
        initial={"max_bytes": max_bytes, "num_replicas": replicas, "compression": "s2"},
    )


def _letters_for(days: int) -> Mapping[str, Any]:
    return {
        "discard": "new",
        "max_age": (days + AGE_RESERVE_DAYS) * _DAY_NS,
        "max_msgs": -1,
        "max_msgs_per_subject": 1,
    }


class ConsumerDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """A durable consumer as this code needs it, in the words of the JetStream API."""

    stream: str
    name: str
    #: Set for good when the consumer is created; another value in an existing one is an error.
    fixed: Mapping[str, Any]
    #: Put right at every start.
    managed: Mapping[str, Any]


def ingest_consumer(*, ack_wait_s: float = ACK_WAIT_S) -> ConsumerDefinition:
    """Gives out the inbox. Deliveries have no limit: after one, JetStream would hide a message without a word."""
    return _pull_consumer(INBOX, INGEST, ack_wait_s=ack_wait_s)


def matching_consumer(*, ack_wait_s: float = ACK_WAIT_S) -> ConsumerDefinition:
    """Gives out what is held, again and again."""
    return _pull_consumer(HELD, MATCHING, ack_wait_s=ack_wait_s)


def erasing_consumer() -> ConsumerDefinition:
    """Gives out erasures, of all workspaces."""
    consumer = _pull_consumer(EVENTS, ERASING, ack_wait_s=ACK_WAIT_S)
    subjects = f"{EVENTS_SUBJECTS.removesuffix('>')}*.erasure.completed"
    return msgspec.structs.replace(consumer, managed={**consumer.managed, "filter_subject": subjects})


def _pull_consumer(stream: str, name: str, *, ack_wait_s: float) -> ConsumerDefinition:
    return ConsumerDefinition(
        stream=stream,
        name=name,
        fixed={"ack_policy": "explicit", "deliver_policy": "all", "replay_policy": "instant"},
        managed={
            "ack_wait": int(ack_wait_s * _SECOND_NS),
            "max_deliver": -1,
            "max_ack_pending": ACKS_PENDING_MAX,
            "max_waiting": 512,
        },
    )


async def ensure_consumer(broker: Broker, wanted: ConsumerDefinition) -> None:
    """Creates the consumer or brings it up to date; idempotent, and safe to run from two processes at once.

    Raises ConsumerMismatch, BrokerUnavailable, BrokerRefusal.
    """
    try:
        found = (await broker.api(f"CONSUMER.INFO.{wanted.stream}.{wanted.name}"))["config"]
    except BrokerRefusal as refusal:
        if refusal.code != CONSUMER_NOT_FOUND:
            raise
        found = {}
    wrong = {key: found[key] for key, value in wanted.fixed.items() if key in found and found[key] != value}
    if wrong:
        raise ConsumerMismatch(f"consumer {wanted.name} cannot serve: it has {wrong}")
    changes = {key: value for key, value in wanted.managed.items() if found.get(key) != value}
    if found and not changes:
        return
    config = {**wanted.fixed, **found, **wanted.managed, "durable_name": wanted.name, "name": wanted.name}
    body = {"stream_name": wanted.stream, "config": config}
    await broker.api(f"CONSUMER.CREATE.{wanted.stream}.{wanted.name}", body)
    log.info("consumer is as it must be", stream_name=wanted.stream, consumer=wanted.name, setting=sorted(changes))


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
