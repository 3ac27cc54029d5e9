"""Rules of the consent ledger: (command, state) -> facts. No I/O, no clock; the fold is in `consent/state.py`.

An objection is always recorded. What ends one needs proof, and ends only what was said with the same spelling.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypedDict
from uuid import UUID

from contacts import errors
from contacts.addresses import Channel, Digest
from contacts.consent import commands as c
from contacts.consent import events as e
from contacts.consent.state import BySpelling, ChannelConsent, Consent, evolve, fold, initial, other_spellings

__all__ = ["Consent", "decide", "evolve", "fold", "initial"]

Events = list[e.ConsentEvent]


def decide(command: c.ConsentCommand, state: Consent) -> Events:
    """The facts `command` adds; none where everything is so already. Raises Refusal as each command names."""
    return _DECIDE[type(command)](command, state)


class _Fields(TypedDict):
    address: Digest
    exact: Digest
    channel: Channel
    source: str
    contact_id: UUID | None


def _fields(command: c.ConsentCommand, channel: Channel | None = None) -> _Fields:
    return {
        "address": command.address.widest,
        "exact": command.address.exact,
        "channel": channel or command.channel,
        "source": command.source,
        "contact_id": command.contact_id,
    }


def _grant(command: c.GrantConsent, state: Consent) -> Events:
    _require_evidence(command)
    exact = command.address.exact
    objections = state.objections(command.channel)
    _require_own(objections, exact)
    known = state.on(command.channel).granted.get(exact)
    if exact not in objections and known is not None and known.proof == command.proof_digest:
        return []
    return [e.ConsentGranted(proof=command.proof_digest, **_fields(command))]


def _withdraw(command: c.WithdrawConsent, state: Consent) -> Events:
    if _has_objected(state.on(command.channel), command.address.exact):
        return []
    return [e.ConsentWithdrawn(**_fields(command))]


def _has_objected(on: ChannelConsent, exact: Digest) -> bool:
    """And was not asked to confirm since: whoever objects again then must be heard again, or the answer counts."""
    known, asked = on.withdrawn.get(exact), on.pending.get(exact)
    return known is not None and (asked is None or asked.version < known.version)


def _unsubscribe_from_all(command: c.UnsubscribeFromAll, state: Consent) -> Events:
    family, exact = command.address.family, command.address.exact
    on = state.on(family)
    if _has_objected(on, exact):
        known = on.withdrawn[exact].version
        if not any(each.granted[exact].version > known for each in state.channels.values() if exact in each.granted):
            return []
    return [e.UnsubscribedFromAll(**_fields(command, family))]


def _request(command: c.RequestDoubleOptIn, state: Consent) -> Events:
    on, exact = state.on(command.channel), command.address.exact
    has_agreed = exact in on.granted and exact not in state.objections(command.channel)
    if has_agreed or exact in on.pending:
        return []
    return [e.DoubleOptInRequested(**_fields(command))]


def _confirm(command: c.ConfirmDoubleOptIn, state: Consent) -> Events:
    on, exact = state.on(command.channel), command.address.exact
    asked = on.pending.get(exact)
    if asked is None:
        return []
    objection = on.withdrawn.get(exact)
    # Whoever objected after the form was sent is not brought back by an old link.
    reopens = objection is not None and objection.version < asked.version
    if reopens:
        _require_evidence(command)
    return [e.DoubleOptInConfirmed(proof=command.proof_digest, reopens=reopens, **_fields(command))]


def _report_spam(command: c.ReportSpam, state: Consent) -> Events:
    if command.address.exact in state.on(command.channel).spam:
        return []
    return [e.SpamReported(**_fields(command))]


def _clear_spam(command: c.ClearSpam, state: Consent) -> Events:
    if not command.reason:
        raise errors.ReasonMissing
    return [e.SpamCleared(**_fields(command))] if state.on(command.channel).spam else []


def _subscribe_category(command: c.SubscribeCategory, state: Consent) -> Events:
    exact, topic = command.address.exact, state.topic(command.channel, command.category)
    if topic.withdrawn:
        _require_evidence(command)
        _require_own(topic.withdrawn, exact)
    elif exact in topic.granted:
        return []
    proof = command.proof_digest or None
    return [e.CategorySubscribed(category=command.category, proof=proof, **_fields(command))]


def _unsubscribe_category(command: c.UnsubscribeCategory, state: Consent) -> Events:
    if command.address.exact in state.topic(command.channel, command.category).withdrawn:
        return []
    return [e.CategoryUnsubscribed(category=command.category, **_fields(command))]


def _require_evidence(command: c.ConsentCommand) -> None:
    if not command.proof.is_evidence:
        raise errors.ProofMissing


def _require_own(objections: BySpelling, exact: Digest) -> None:
    """An agreement is narrow: it ends nothing that was said with another spelling of the address."""
    if any(True for _ in other_spellings(objections, exact)):
        raise errors.ObjectionOfOtherSpelling


_DECIDE: Final[dict[type, Callable[[Any, Consent], Events]]] = {
    c.GrantConsent: _grant,
    c.WithdrawConsent: _withdraw,
    c.UnsubscribeFromAll: _unsubscribe_from_all,
    c.RequestDoubleOptIn: _request,
    c.ConfirmDoubleOptIn: _confirm,
    c.ReportSpam: _report_spam,
    c.ClearSpam: _clear_spam,
    c.SubscribeCategory: _subscribe_category,
    c.UnsubscribeCategory: _unsubscribe_category,
}
