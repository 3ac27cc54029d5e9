"""The JSON of suppression: entries of the blacklist, answers to may-send, unsubscribe links. No queries here."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from contacts.consent.may_send import Reason
from contacts.suppression.entry import Entry
from contacts_api.views import Total, View


class SuppressionView(View, frozen=True, kw_only=True):
    """An address that nothing may be sent to."""

    #: The same again when the address is listed again.
    id: UUID
    #: `email` (for the whole installation), `phone`, or another kind of channel.
    channel: str
    #: Null where the proof of the entry was erased.
    address: str | None
    since: datetime
    #: A code: `manual`, `hard_bounce`, …
    cause: str
    reason: str | None
    source: str
    actor: str | None
    #: The contact through which it came.
    contact: UUID | None


class SuppressionPage(View, frozen=True):
    """One page of a blacklist."""

    items: tuple[SuppressionView, ...]
    next_cursor: str | None
    total: Total


class VerdictView(View, frozen=True):
    """Whether one address or contact may be sent to."""

    allowed: bool
    #: Why not; null where it is allowed.
    reason: Reason | None
    #: As of which position of the log.
    position: str


class VerdictsView(View, frozen=True):
    """Answers in the order of the question."""

    items: tuple[VerdictView, ...]


class LinkView(View, frozen=True):
    """An unsubscribe link for one address or contact, and the headers a message to it has to carry."""

    #: Null where the contact cannot be reached or the address is none.
    url: str | None
    #: By name, ready to be put into the message and signed (RFC 8058).
    headers: dict[str, str]


class LinksView(View, frozen=True):
    """Links in the order of the question."""

    items: tuple[LinkView, ...]


def suppression_view(entry: Entry) -> SuppressionView:
    return SuppressionView(
        id=entry.id,
        channel=entry.channel,
        address=entry.address,
        since=entry.since,
        cause=entry.cause,
        reason=entry.reason,
        source=entry.source,
        actor=entry.actor,
        contact=entry.contact_id,
    )
