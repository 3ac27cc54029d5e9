"""Keeps the suppression read model: the blacklist of each workspace, with the words of its proof. Stops no message."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from contacts.proof import ProofDestroyed, ProofRecorded
from contacts.suppression.events import CATEGORY
from contacts.suppression.state import Suppressed, fold, initial
from eventstore.projection import PoisonedEvent, Projection
from eventstore.sql import load

if TYPE_CHECKING:
    from asyncpg import Record

    from eventstore.envelope import RecordedEvent
    from eventstore.projection import Connection

SQL: Final = load("contacts.suppression", "projection.sql")
PROOF_CATEGORY: Final = f"{CATEGORY}_proof"
_decode: Final = msgspec.msgpack.Decoder(Suppressed).decode
_encode: Final = msgspec.msgpack.Encoder(uuid_format="bytes").encode


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """One address of one workspace: its facts, and the words that prove the newest of them."""

    workspace_id: UUID
    state: Suppressed
    address: str | None = None
    reason: str | None = None
    #: Version of the fact that the words are about.
    reason_version: int = 0

    @property
    def listed(self) -> bool:
        return self.state.blacklisting is not None

    def row(self) -> tuple[Any, ...]:
        entry = self.state.blacklisting
        known = entry is not None and entry.version == self.reason_version
        return (
            self.workspace_id,
            self.state.id,
            self.listed,
            entry.since if entry else None,
            self.state.version,
            self.state.family,
            self.address if known else None,
            self.reason if known else None,
            self.reason_version if known else 0,
            _encode(self.state),
        )


class SuppressionProjection(Projection):
    """Rows of `suppression`, totals in `suppression_count`. Applying events again changes nothing."""

    name = "suppression"
    version = 1
    stands_back_s = 0.01
    types = frozenset(
        {"suppression.address_blacklisted", "suppression.address_unblacklisted", "proof.recorded", "proof.destroyed"}
    )
    schema_sql = files("contacts.suppression").joinpath("schema.sql").read_text(encoding="utf-8")
    index_sql = files("contacts.suppression").joinpath("indexes.sql").read_text(encoding="utf-8")

    async def apply(
        self,
        connection: Connection,
        events: Sequence[RecordedEvent[Any]],
        *,
        fresh: bool,  # a proof may come in another batch than its fact
    ) -> None:
        own = [event for event in events if event.category in (CATEGORY, PROOF_CATEGORY)]
        before = await _load(connection, own)
        after = _fold(own, before)
        changed = [shown for id_, shown in after.items() if shown != before.get(id_)]
        if changed:
            columns = [list(column) for column in zip(*(shown.row() for shown in changed), strict=True)]
            await connection.execute(SQL["upsert"], *columns)
            await _count(connection, ((before.get(shown.state.id), shown) for shown in changed))


async def _load(connection: Connection, events: Iterable[RecordedEvent[Any]]) -> dict[UUID, Shown]:
    wanted = {event.stream_id: event.workspace_id for event in events}
    if not wanted:
        return {}
    rows = await connection.fetch(SQL["load"], list(wanted.values()), list(wanted))
    return {row["suppression_id"]: _shown(row, wanted[row["suppression_id"]]) for row in rows}


def _shown(row: Record, workspace_id: UUID) -> Shown:
    return Shown(
        workspace_id=workspace_id,
        state=_decode(row["state"]),
        address=row["address"],
        reason=row["reason"],
        reason_version=row["reason_version"],
    )


def _fold(events: Iterable[RecordedEvent[Any]], before: dict[UUID, Shown]) -> dict[UUID, Shown]:
    after = dict(before)
    for event in events:
        shown = after.get(event.stream_id) or Shown(workspace_id=event.workspace_id, state=initial(event.stream_id))
        after[event.stream_id] = _proven(shown, event) if event.category == PROOF_CATEGORY else _stated(shown, event)
    return after


def _stated(shown: Shown, event: RecordedEvent[Any]) -> Shown:
    expected = shown.state.version + 1
    if event.version < expected:
        return shown
    if event.version > expected:
        raise PoisonedEvent(event.stream_id, event, f"found version {event.version}, expected {expected}")
    shown = replace(shown, state=fold(shown.state, event))
    destroyed = isinstance(event.event, ProofDestroyed)
    return replace(shown, address=None, reason=None, reason_version=0) if destroyed else shown


def _proven(shown: Shown, event: RecordedEvent[Any]) -> Shown:
    proof = event.event
    entry = shown.state.blacklisting
    # Destroyed, of a fact that no longer stands, or applied before.
    if not isinstance(proof, ProofRecorded) or entry is None or proof.fact_version != entry.version:
        return shown
    return replace(shown, address=proof.address, reason=proof.reason, reason_version=proof.fact_version)


async def _count(connection: Connection, changed: Iterable[tuple[Shown | None, Shown]]) -> None:
    moved: Counter[tuple[UUID, str]] = Counter()
    for before, after in changed:
        if before is not None and before.listed:
            moved[before.workspace_id, before.state.family] -= 1
        if after.listed:
            moved[after.workspace_id, after.state.family] += 1
    # In key order, so that two projectors that move the same totals cannot wait for each other.
    differences = sorted((*counted, by) for counted, by in moved.items() if by)
    if differences:
        await connection.execute(SQL["count"], *map(list, zip(*differences, strict=True)))
    if any(by < 0 for *_, by in differences):
        await connection.execute(SQL["uncount"], list({workspace_id for workspace_id, *_ in differences}))
