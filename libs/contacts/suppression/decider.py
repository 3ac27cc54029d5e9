"""Rules of the blacklist: (command, state) -> facts. No I/O, no clock; the fold is in `suppression/state.py`."""

from __future__ import annotations

from contacts import errors
from contacts.suppression import commands as c
from contacts.suppression import events as e
from contacts.suppression.state import Suppressed, evolve, fold, initial

__all__ = ["Suppressed", "decide", "evolve", "fold", "initial"]


def decide(command: c.SuppressionCommand, state: Suppressed) -> list[e.SuppressionEvent]:
    """The facts `command` adds; none where it is so already. Raises ReasonMissing."""
    if isinstance(command, c.BlacklistAddress):
        return _blacklist(command, state)
    return _unblacklist(command, state)


def _blacklist(command: c.BlacklistAddress, state: Suppressed) -> list[e.SuppressionEvent]:
    if state.blacklisting is not None:
        return []
    return [
        e.AddressBlacklisted(
            address=command.address.widest,
            family=command.address.family,
            source=command.source,
            contact_id=command.contact_id,
            cause=command.cause,
        )
    ]


def _unblacklist(command: c.UnblacklistAddress, state: Suppressed) -> list[e.SuppressionEvent]:
    if not command.reason:
        raise errors.ReasonMissing
    if state.blacklisting is None:
        return []
    return [
        e.AddressUnblacklisted(
            address=command.address.widest,
            family=command.address.family,
            source=command.source,
            contact_id=command.contact_id,
        )
    ]
