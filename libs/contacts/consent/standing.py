"""How a contact stands: the status of its e-mail and phone and its consents, out of what is recorded of its addresses.

Of several addresses, as a merged profile has them, the most restrictive counts. Pure; where the records come from is
the business of `consent/reading.py` and of the contact read model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec.structs import replace

from contacts.addresses import EMAIL, PHONE, Channel, Digest, Family, family_of
from contacts.consent.events import CATEGORY as CONSENT
from contacts.consent.record import AddressRecord
from contacts.consent.rows import stopped
from contacts.suppression.events import CATEGORY as SUPPRESSION

ChannelStatus: TypeAlias = Literal[
    "active", "not_confirmed", "unsubscribed", "spam_report", "blacklisted", "over_limit"
]
ConsentStatus: TypeAlias = Literal["not_subscribed", "subscribed", "unsubscribed"]

ACTIVE: Final = "active"
OVER_LIMIT: Final = "over_limit"
#: The most restrictive first.
RANKS: Final[tuple[ChannelStatus, ...]] = (
    "blacklisted", "spam_report", "unsubscribed", "not_confirmed", "over_limit", "active",
)  # fmt: skip
#: Told of every contact, whether anything was recorded or not.
SHOWN_CHANNELS: Final = ("email", "sms", "whatsapp")
#: Source of a blacklisting by another workspace, of which nothing else is told.
INSTALLATION_SOURCE: Final = "installation"


class Status(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Whether an address may be written to, and since when and why not."""

    status: ChannelStatus
    since: datetime | None = None
    reason: str | None = None
    source: str | None = None
    actor: str | None = None


class Standing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """How one contact stands. None is a contact without e-mail or phone."""

    email: Status | None = None
    phone: Status | None = None
    #: By channel; what is not in it is `not_subscribed`.
    consents: dict[Channel, ConsentStatus] = {}
    #: Anything was ever recorded of an address of the contact.
    recorded: bool = False
    #: It is one of those for whom the plan has no room.
    over_limit: bool = False


class Reach(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Addresses by which a contact is reached, all of a merged profile's."""

    #: Widest digest by family.
    addresses: Mapping[Family, Sequence[Digest]]
    #: Exact digests of the spellings it is reached by: an agreement counts for these only.
    spellings: frozenset[Digest]
    #: Whether it shows an e-mail and a phone, so that they have a status.
    has_email: bool
    has_phone: bool


def standing_of(
    reach: Reach,
    records: Mapping[Digest, AddressRecord],
    closed: Mapping[Digest, datetime],
    *,
    over_limit: bool = False,
) -> Standing:
    """`records` are the workspace's own by widest digest; `closed` since when others keep an e-mail blacklisted."""
    email, phone = reach.addresses.get(EMAIL, ()), reach.addresses.get(PHONE, ())
    found = [records[digest] for digests in reach.addresses.values() for digest in digests if digest in records]
    return Standing(
        email=_status(EMAIL, email, records, closed, over_limit=over_limit) if reach.has_email else None,
        phone=_status(PHONE, phone, records, {}, over_limit=over_limit) if reach.has_phone else None,
        consents=_consents(reach, found) if found else {},
        recorded=bool(found) or any(digest in closed for digest in email),
        over_limit=over_limit,
    )


def with_limit(standing: Standing | None, *, over_limit: bool, has_email: bool, has_phone: bool) -> Standing | None:
    """The same but for the plan's limit, which counts only where nothing more restrictive does; None for nothing."""
    standing = standing or Standing()
    if standing.over_limit == over_limit:
        return standing if over_limit or standing.recorded else None
    if not over_limit and not standing.recorded:
        return None
    return replace(
        standing,
        email=_limited(standing.email, over_limit=over_limit) if has_email else None,
        phone=_limited(standing.phone, over_limit=over_limit) if has_phone else None,
        over_limit=over_limit,
    )


def _limited(status: Status | None, *, over_limit: bool) -> Status:
    if status is None or status.status in (ACTIVE, OVER_LIMIT):
        return Status(OVER_LIMIT if over_limit else ACTIVE)
    return status


def _status(
    family: Family, digests: Iterable[Digest], records: Mapping[Digest, AddressRecord],
    closed: Mapping[Digest, datetime], *, over_limit: bool,
) -> Status:  # fmt: skip
    found = [Status(OVER_LIMIT if over_limit else ACTIVE)]
    for digest in digests:
        if digest in records:
            found += _recorded(family, records[digest])
        if digest in closed:
            found.append(Status("blacklisted", closed[digest], None, INSTALLATION_SOURCE))
    return min(found, key=_restriction)


def _restriction(status: Status) -> tuple[int, bool]:
    # What the workspace recorded itself comes before the same by another one, for it can say more.
    return RANKS.index(status.status), status.source == INSTALLATION_SOURCE


def _recorded(family: Family, record: AddressRecord) -> list[Status]:
    found: list[Status] = []
    if entry := record.suppressed.blacklisting:
        reason = record.reason(SUPPRESSION, entry.version) or (None if entry.cause == "manual" else entry.cause)
        found.append(Status("blacklisted", entry.since, reason, entry.source, entry.actor))
    # S1: what somebody said of SMS or WhatsApp is a consent, and no status of the phone.
    if family == EMAIL and (stop := stopped(record.consent, EMAIL)):
        status, said = stop
        found.append(Status(status, said.since, record.reason(CONSENT, said.version), said.source, said.actor))
    return found


def _consents(reach: Reach, records: Sequence[AddressRecord]) -> dict[Channel, ConsentStatus]:
    channels = {*SHOWN_CHANNELS}.union(*(record.consent.channels for record in records if record.consent.channels))
    found = {channel: _consent(channel, reach, records) for channel in sorted(channels)}
    return {channel: status for channel, status in found.items() if status != "not_subscribed"}


def _consent(channel: Channel, reach: Reach, records: Sequence[AddressRecord]) -> ConsentStatus:
    of_family = [r.consent for r in records if r.consent.channels and r.consent.family == family_of(channel)]
    if any(state.objections(channel) for state in of_family):
        return "unsubscribed"
    granted = {exact for state in of_family for exact in state.on(channel).granted}
    return "not_subscribed" if granted.isdisjoint(reach.spellings) else "subscribed"
