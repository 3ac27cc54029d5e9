"""Why the relay stopped, stood by or held: one class per reason. Nothing here connects to anything."""

from __future__ import annotations


class BridgeError(Exception):
    """Base of everything the bridge raises."""


class BrokerUnavailable(BridgeError):
    """NATS did not answer in time or the connection is gone; what was under way may or may not be stored."""


class BrokerRefusal(BridgeError):
    """JetStream understood a request, did nothing, and said why."""

    def __init__(self, code: int, description: str) -> None:
        super().__init__(f"JetStream: {description} ({code})")
        self.code = code


class BrokerTooOld(BridgeError):
    """The NATS server lacks something the relay cannot do without."""


class StreamMismatch(BridgeError):
    """A stream exists with settings that cannot be changed in place; an operator has to decide."""


class ConsumerMismatch(BridgeError):
    """A consumer exists with settings that cannot be changed in place; an operator has to decide."""


class Fenced(BridgeError):
    """The stream is not where this relay left it: another relay wrote, or a tail was lost. Nothing was stored."""


class AlreadyStored(BridgeError):
    """JetStream remembers a message id of this batch, whether or not it still holds the message. Nothing was stored."""


class StreamAheadOfLog(BridgeError):
    """JetStream holds an event that the log does not: the log was set back, so following it would lose events."""

    def __init__(self, lane: int, position: int) -> None:
        super().__init__(f"ROLLBOOK_EVENTS is ahead of the log at position {lane}.{position}")
        self.lane = lane
        self.position = position


class UnmappedEvent(BridgeError):
    """A domain event has no public message; sending must hold, not skip."""

    def __init__(self, type_: str) -> None:
        super().__init__(f"no public message for event {type_!r}")
        self.type = type_
