"""May I send? One answer per address or contact, from the rows that appends wrote: right from every acknowledgement."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from typing import Final, Literal, Protocol, TypeAlias, cast
from uuid import UUID

import msgspec

from contacts.addresses import EMAIL, AddressKeys, Channel, Digest, family_of
from contacts.consent.reach import addresses_on
from contacts.consent.standing import RANKS
from contacts.contact.state import CATEGORY as CONTACT
from contacts.contact.state import Contact
from contacts.emails import parse_email
from contacts.errors import InvalidValue
from contacts.execution import Met
from contacts.merge.component import Components
from contacts.merge.view import view
from contacts.suppression.events import CATEGORY as SUPPRESSION
from contacts.suppression.state import INSTALLATION
from contacts.values import Country
from eventstore.envelope import Stream
from eventstore.store import EventStore
from eventstore.suppressions import SuppressionReader, SuppressionRow, Suppressions, find_suppressions

Reason: TypeAlias = Literal[
    "blacklisted", "spam_report", "unsubscribed", "category_unsubscribed", "not_confirmed", "over_limit",
    "blocked", "deleted", "erased", "not_found", "no_address", "invalid_address",
]  # fmt: skip
#: What one call may ask about.
ITEMS_MAX: Final = 10_000
SHARED_MAX: Final = 100
"""Addresses of a question that shares its query with those of others; more would make the others wait."""
_RANK: Final[dict[str, int]] = {
    reason: rank for rank, reason in enumerate((*RANKS[:3], "category_unsubscribed", *RANKS[3:]))
}


def _rank(reason: Reason) -> int:
    return _RANK[reason]


class Verdicts(msgspec.Struct, frozen=True):
    """Answers in the order of what was asked; None allows, anything else says why not."""

    reasons: list[Reason | None]
    #: Of the workspace's lane: the answers hold as of it.
    position: int


class FindOverLimit(Protocol):
    """Those of the contacts for whom the plan has no room, as the read model has them."""

    async def __call__(self, workspace_id: UUID, contact_ids: Sequence[UUID]) -> Collection[UUID]: ...


class MaySend:
    """Safe to use concurrently."""

    def __init__(
        self, store: EventStore, components: Components, keys: AddressKeys, *,
        find_over_limit: FindOverLimit | None = None,
    ) -> None:  # fmt: skip
        """Without `find_over_limit` plans have no limit. Addresses as such have none in any case."""
        self._find_over_limit = find_over_limit
        self._store = store
        self._shared = SuppressionReader(store)
        self._components = components
        self._keys = keys

    async def to_addresses(
        self, workspace_id: UUID, channel: Channel, addresses: Sequence[str], *, category: str | None = None,
        region: Country | None = None,
    ) -> Verdicts:  # fmt: skip
        """`category` is case folded; `region` is whose national phone numbers are meant."""
        digests = self._digests(channel, addresses, region)
        wanted = [digest for digest in digests if digest is not None]
        found = await self._find(workspace_id, wanted)
        stopped = _stopped(found.rows, wanted, channel, category)
        return Verdicts(
            ["invalid_address" if digest is None else stopped.get(digest) for digest in digests], found.position
        )

    async def to_contacts(
        self, workspace_id: UUID, channel: Channel, contact_ids: Sequence[UUID], *, category: str | None = None
    ) -> Verdicts:
        """Of a merged profile all addresses count, the most restrictive most."""
        streams = [Stream(workspace_id, CONTACT, contact_id) for contact_id in contact_ids]
        met = await asyncio.gather(*(self._components.meet(stream, fresh=True) for stream in streams))
        digests = [self._reached(channel, each) for each in met]
        wanted = list({digest for each in digests for digest in each})
        found = await self._find(workspace_id, wanted)
        stopped = _stopped(found.rows, wanted, channel, category)
        reasons = [_of_contact(each.state) or _worst(own, stopped) for each, own in zip(met, digests, strict=True)]
        return Verdicts(await self._within_limit(workspace_id, met, reasons), found.position)

    async def _find(self, workspace_id: UUID, wanted: Sequence[Digest]) -> Suppressions:
        if len(wanted) > SHARED_MAX:
            return await find_suppressions(self._store, workspace_id, INSTALLATION, wanted)
        return await self._shared.find(workspace_id, INSTALLATION, wanted)

    async def _within_limit(
        self, workspace_id: UUID, met: Sequence[Met[Contact]], reasons: list[Reason | None]
    ) -> list[Reason | None]:
        """Room in the plan is no objection of anybody, so it is asked last, and of a read model that may be behind."""
        allowed = [each.state.id for each, reason in zip(met, reasons, strict=True) if reason is None]
        if self._find_over_limit is None or not allowed:
            return reasons
        over = await self._find_over_limit(workspace_id, allowed)
        return [
            "over_limit" if reason is None and each.state.id in over else reason
            for each, reason in zip(met, reasons, strict=True)
        ]

    def _digests(self, channel: Channel, addresses: Sequence[str], region: Country | None) -> list[Digest | None]:
        if family_of(channel) == EMAIL:
            return [self._email_digest(address) for address in addresses]
        return [self._digest(channel, address, region) for address in addresses]

    def _email_digest(self, address: str) -> Digest | None:
        try:
            return self._keys.email_digest(parse_email(address))
        except InvalidValue:
            return None

    def _digest(self, channel: Channel, address: str, region: Country | None) -> Digest | None:
        try:
            return self._keys.parse(channel, address, region).widest
        except InvalidValue:
            return None

    def _reached(self, channel: Channel, met: Met[Contact]) -> list[Digest]:
        """Nothing where the profile as it is shown cannot be reached."""
        shown = addresses_on(channel, view(met.state, met.others), self._keys)
        members = (met.state, *met.others.values()) if shown else ()
        others = [address for member in members for address in addresses_on(channel, member, self._keys)]
        return [address.widest for address in (*shown, *others)]


def _of_contact(contact: Contact) -> Reason | None:
    if not contact.exists:
        return "not_found"
    if contact.erased:
        return "erased"
    if contact.deleted:
        return "deleted"
    return "blocked" if contact.blocked else None


def _worst(digests: Sequence[Digest], stopped: dict[Digest, Reason]) -> Reason | None:
    if not digests:
        return "no_address"
    return min((stopped[digest] for digest in digests if digest in stopped), key=_rank, default=None)


def _stopped(
    rows: Iterable[SuppressionRow], digests: Sequence[Digest], channel: Channel, category: str | None
) -> dict[Digest, Reason]:
    """Why nothing may be sent, by address."""
    by_number: dict[int, list[SuppressionRow]] = {}
    for row in rows:
        by_number.setdefault(row.number, []).append(row)
    reasons = ((digests[number - 1], _reason(each, channel, category)) for number, each in by_number.items())
    return {digest: reason for digest, reason in reasons if reason is not None}


def _reason(rows: Sequence[SuppressionRow], channel: Channel, category: str | None) -> Reason | None:
    family = family_of(channel)
    found: list[Reason] = []
    own = any(row.channel == channel and not row.topic for row in rows if row.kind != SUPPRESSION)
    for row in rows:
        if row.status is None or row.channel not in (channel, family):
            continue
        if row.kind == SUPPRESSION:
            found.append(cast("Reason", row.status))
        elif row.topic:
            if row.topic == category:
                found.append("category_unsubscribed")
        elif row.channel == channel or not own:
            # The row of a channel has what its family says in it already.
            found.append(cast("Reason", row.status))
    return min(found, key=_rank, default=None)
