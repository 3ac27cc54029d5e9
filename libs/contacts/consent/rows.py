"""What a consent ledger means for sending, as the rows that `may-send` reads. Pure; the log writes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, TypeAlias
from uuid import UUID

from contacts.addresses import Channel, family_of
from contacts.consent.events import CATEGORY
from contacts.consent.state import Consent, Said, first
from eventstore.envelope import Suppression

Standing: TypeAlias = Literal["spam_report", "unsubscribed", "not_confirmed"]

SPAM_REPORT: Final = "spam_report"
UNSUBSCRIBED: Final = "unsubscribed"
NOT_CONFIRMED: Final = "not_confirmed"


def stopped(state: Consent, channel: Channel) -> tuple[Standing, Said] | None:
    """What stops messages on a channel, the most restrictive first; None where nothing does."""
    own, family = state.on(channel), state.on(family_of(channel))
    if spam := {**family.spam, **own.spam}:
        return SPAM_REPORT, first(spam)
    if objections := state.objections(channel):
        return UNSUBSCRIBED, first(objections)
    pending = {**family.pending, **own.pending}
    return (NOT_CONFIRMED, first(pending)) if pending else None


def rows(state: Consent, workspace_id: UUID) -> tuple[Suppression, ...]:
    """A row for every channel and category that the ledger has ever spoken of, those that stop nothing included.

    For a channel without a row of its own the row of its family counts.
    """
    return tuple(_rows(state, workspace_id))


def _rows(state: Consent, workspace_id: UUID) -> Iterator[Suppression]:
    for channel, on in state.channels.items():
        yield _row(state, workspace_id, channel, "", stopped(state, channel))
        for category, topic in on.topics.items():
            found: tuple[Standing, Said] | None = None
            if topic.withdrawn:
                found = UNSUBSCRIBED, first(topic.withdrawn)
            yield _row(state, workspace_id, channel, category, found)


def _row(
    state: Consent, workspace_id: UUID, channel: Channel, topic: str, found: tuple[Standing, Said] | None
) -> Suppression:
    status, said = found or (None, None)
    return Suppression(
        scope_id=workspace_id,
        holder_id=workspace_id,
        address=state.address,
        kind=CATEGORY,
        channel=channel,
        topic=topic,
        status=status,
        cause=said.source if said else None,
        since=said.since if said else None,
    )
