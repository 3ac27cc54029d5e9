"""Who is meant by many references at once: claims in the log first, then read models that have caught up with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias
from uuid import UUID

from msgspec.structs import replace

from contacts.activity.commands import ContactReference
from contacts.activity.events import AddressedAs
from contacts.contact.claims import UPSERT_CLAIMS
from contacts.contact.input import upsert_key

if TYPE_CHECKING:
    from contacts.activity.queries import MatchQueries
    from eventstore.progress import Progress
    from eventstore.store import EventStore

Found: TypeAlias = dict[AddressedAs, UUID]
#: The claim that says who has one; e-mails and phones are claimed only by contacts that an upsert created.
CLAIMS: Final[Mapping[str, str]] = {
    "external_id": "external_id",
    "messaging_id": "messaging_id",
    "email": UPSERT_CLAIMS["email"],
    "phone": UPSERT_CLAIMS["phone"],
}
#: The read models that are asked for the others.
READ_MODELS: Final[Mapping[str, tuple[str, ...]]] = {
    "email": ("contact",),
    "phone": ("contact",),
    "channel": ("contact", "identity"),
}


class LookUp(Protocol):
    """The oldest present contact with each e-mail, phone or channel, in read models that have reached `position`."""

    async def __call__(
        self, workspace_id: UUID, wanted: Sequence[AddressedAs], *, lane: int, position: int
    ) -> Found: ...


class Matcher:
    """Safe to use concurrently."""

    def __init__(self, store: EventStore, look_up: LookUp | None = None) -> None:
        """Without `look_up` contacts are known by ids and claims only."""
        self._store = store
        self._look_up = look_up

    async def match(self, workspace_id: UUID, references: Iterable[ContactReference]) -> list[AddressedAs | None]:
        """What each is known by, with the contact's own id; None for those nobody is known by.

        An id is taken at its word: whether there is such a contact shows when it is loaded. What is found was so at
        some moment since the call. Raises PositionTimeout where a read model stays behind.
        """
        readings = [tuple(reference.readings()) for reference in references]
        found = await self._claimed(workspace_id, readings)
        wanted = list(dict.fromkeys(reading for each in readings for reading in _left_open(each, found)))
        if wanted and self._look_up is not None:
            lane = self._store.lane_of(workspace_id)
            position = await self._store.head(lane)
            found |= await self._look_up(workspace_id, wanted, lane=lane, position=position)
        return [_first(each, found) for each in readings]

    async def _claimed(self, workspace_id: UUID, readings: Iterable[Sequence[AddressedAs]]) -> Found:
        claims = {
            reading: (CLAIMS[reading.by], _claim_value(reading))
            for each in readings
            if each[0].by != "id"
            for reading in each
            if reading.by in CLAIMS
        }
        if not claims:
            return {}
        holders = await self._store.find_claims(workspace_id, set(claims.values()))
        return {reading: holders[claim] for reading, claim in claims.items() if claim in holders}


def _claim_value(reading: AddressedAs) -> str:
    return upsert_key("email", reading.value) if reading.by == "email" else reading.value


def _left_open(readings: Sequence[AddressedAs], claimed: Found) -> Iterator[AddressedAs]:
    """Those that a read model is to be asked for: what counts more than they do says nothing."""
    for reading in readings:
        if reading.by == "id" or reading in claimed:
            return
        if reading.by in READ_MODELS:
            yield reading


def _first(readings: Sequence[AddressedAs], found: Found) -> AddressedAs | None:
    for reading in readings:
        if reading.by == "id":
            return replace(reading, contact_id=UUID(reading.value))
        if reading in found:
            return replace(reading, contact_id=found[reading])
    return None


class CaughtUpLookUp:
    """`LookUp` over the read models. Raises PositionTimeout where one stays behind for `wait_s`."""

    def __init__(self, queries: MatchQueries, progress: Progress, wait_s: float) -> None:
        self._queries = queries
        self._progress = progress
        self._wait_s = wait_s

    async def __call__(
        self, workspace_id: UUID, wanted: Sequence[AddressedAs], *, lane: int, position: int
    ) -> Found:  # fmt: skip
        for read_model in sorted({name for reading in wanted for name in READ_MODELS[reading.by]}):
            await self._progress.wait(read_model, lane, position, self._wait_s)
        return await self._queries.find(workspace_id, wanted)
