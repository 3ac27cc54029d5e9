"""What the ledger of one address adds up to, as a fold of its stream. No rules, no I/O; rows of it are in `rows`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from contacts.addresses import Channel, Digest, Family, family_of
from contacts.consent import events as e
from contacts.proof import ProofDestroyed
from eventstore.envelope import RecordedEvent, Unreadable


class Said(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Something said with one spelling of the address that still stands."""

    since: datetime
    #: Version of the fact that said so.
    version: int
    source: str
    actor: str | None = None
    #: Digest of its proof, where agreements are told apart by it.
    proof: Digest = b""


BySpelling = dict[Digest, Said]


class Topic(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Objections and agreements to one category."""

    withdrawn: BySpelling = {}
    granted: BySpelling = {}


class ChannelConsent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What stands on one channel; for a family (`phone`) on all its channels."""

    withdrawn: BySpelling = {}
    granted: BySpelling = {}
    #: Asked to confirm, and not done.
    pending: BySpelling = {}
    spam: BySpelling = {}
    #: By category, case folded.
    topics: dict[str, Topic] = {}


NOTHING: Final = ChannelConsent()
_NO_TOPIC: Final = Topic()


class Consent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Everything the ledger of one address says. Version 0: nothing was ever recorded."""

    id: UUID
    version: int = 0
    proofs: int = 0
    destroyed: int = 0
    address: Digest = b""
    channels: dict[Channel, ChannelConsent] = {}

    @property
    def family(self) -> Family:
        """Of an address of which something was recorded."""
        return family_of(next(iter(self.channels)))

    def on(self, channel: Channel) -> ChannelConsent:
        return self.channels.get(channel, NOTHING)

    def objections(self, channel: Channel) -> BySpelling:
        """Standing ones: to the channel itself, and to its whole family unless the same spelling agreed later."""
        own, family = self.on(channel), family_of(channel)
        if channel == family:
            return own.withdrawn
        inherited = {
            exact: said
            for exact, said in self.on(family).withdrawn.items()
            if (granted := own.granted.get(exact)) is None or granted.version < said.version
        }
        return {**inherited, **own.withdrawn}

    def topic(self, channel: Channel, category: str) -> Topic:
        return self.on(channel).topics.get(category, _NO_TOPIC)


def initial(id_: UUID) -> Consent:
    return Consent(id=id_)


def evolve(state: Consent, event: e.ConsentEvent | Unreadable, at: datetime, actor: str | None = None) -> Consent:
    """The state after `event`, recorded `at` for `actor`. Total: any event can follow any state."""
    if isinstance(event, Unreadable):
        return replace(state, version=state.version + 1)
    if isinstance(event, ProofDestroyed):
        return replace(state, version=state.version + 1, destroyed=state.proofs)
    version = state.version + 1
    proof = getattr(event, "proof", None) or b""
    said = Said(since=at, version=version, source=event.source, actor=actor, proof=proof)
    channel = _EVOLVE[type(event)](state.on(event.channel), event, said)
    channels = {**state.channels, event.channel: channel}
    return replace(state, version=version, proofs=state.proofs + 1, address=event.address, channels=channels)


def fold(state: Consent, recorded: RecordedEvent[Any]) -> Consent:
    """`evolve` for an event as the log holds it."""
    return evolve(state, recorded.event, recorded.recorded_at, recorded.metadata.actor)


def _granted(on: ChannelConsent, event: e.ConsentGranted, said: Said) -> ChannelConsent:
    return replace(on, withdrawn=_without(on.withdrawn, event.exact), granted={**on.granted, event.exact: said})


def _withdrawn(on: ChannelConsent, event: e.ConsentWithdrawn | e.UnsubscribedFromAll, said: Said) -> ChannelConsent:
    return replace(on, withdrawn={**on.withdrawn, event.exact: said}, granted=_without(on.granted, event.exact))


def _requested(on: ChannelConsent, event: e.DoubleOptInRequested, said: Said) -> ChannelConsent:
    return replace(on, pending={**on.pending, event.exact: said})


def _confirmed(on: ChannelConsent, event: e.DoubleOptInConfirmed, said: Said) -> ChannelConsent:
    withdrawn = _without(on.withdrawn, event.exact) if event.reopens else on.withdrawn
    granted = on.granted if event.exact in withdrawn else {**on.granted, event.exact: said}
    return replace(on, withdrawn=withdrawn, granted=granted, pending=_without(on.pending, event.exact))


def _reported(on: ChannelConsent, event: e.SpamReported, said: Said) -> ChannelConsent:
    return replace(on, spam={**on.spam, event.exact: said})


def _cleared(on: ChannelConsent, _event: e.SpamCleared, _said: Said) -> ChannelConsent:
    return replace(on, spam={})


def _category_subscribed(on: ChannelConsent, event: e.CategorySubscribed, said: Said) -> ChannelConsent:
    topic = on.topics.get(event.category, _NO_TOPIC)
    after = Topic(
        withdrawn=_without(topic.withdrawn, event.exact), granted={**topic.granted, event.exact: said}
    )  # fmt: skip
    return replace(on, topics={**on.topics, event.category: after})


def _category_unsubscribed(on: ChannelConsent, event: e.CategoryUnsubscribed, said: Said) -> ChannelConsent:
    topic = on.topics.get(event.category, _NO_TOPIC)
    after = Topic(
        withdrawn={**topic.withdrawn, event.exact: said}, granted=_without(topic.granted, event.exact)
    )  # fmt: skip
    return replace(on, topics={**on.topics, event.category: after})


def _without(said: BySpelling, exact: Digest) -> BySpelling:
    return {spelling: each for spelling, each in said.items() if spelling != exact}


def first(said: BySpelling) -> Said:
    """The oldest of several that stand, which says since when."""
    return min(said.values(), key=lambda each: each.version)


def other_spellings(said: BySpelling, exact: Digest) -> Iterable[Digest]:
    return (spelling for spelling in said if spelling != exact)


_EVOLVE: Final[dict[type, Callable[[ChannelConsent, Any, Said], ChannelConsent]]] = {
    e.ConsentGranted: _granted,
    e.ConsentWithdrawn: _withdrawn,
    e.UnsubscribedFromAll: _withdrawn,
    e.DoubleOptInRequested: _requested,
    e.DoubleOptInConfirmed: _confirmed,
    e.SpamReported: _reported,
    e.SpamCleared: _cleared,
    e.CategorySubscribed: _category_subscribed,
    e.CategoryUnsubscribed: _category_unsubscribed,
}
