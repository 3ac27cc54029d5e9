"""What is recorded of one address: with the words of its proof while they can be read, and without them after."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from contacts.addresses import address_id
from contacts.consent import record
from contacts.proof import ProofDestroyed, ProofRecorded
from contacts.suppression.events import AddressBlacklisted
from eventstore.envelope import Metadata, RecordedEvent
from tests.unit.consent.examples import ANN, WORKSPACE, fact


def recorded(category: str, version: int, event: Any) -> RecordedEvent[Any]:
    return RecordedEvent(
        lane=0, position=version, workspace_id=WORKSPACE, category=category,
        stream_id=address_id(WORKSPACE, ANN.widest), version=version, event_id=UUID(int=version), type="x",
        schema_version=1, recorded_at=datetime(2026, 1, 1, tzinfo=UTC), metadata=Metadata(), event=event,
    )  # fmt: skip


def test_the_last_words_go_with_the_proof_that_is_destroyed_and_the_fact_stands() -> None:
    blacklisted = recorded("suppression", 1, fact(AddressBlacklisted))
    proof = recorded(
        "suppression_proof", 1, ProofRecorded(fact_version=1, address="ann@example.com", reason="her own words")
    )
    known = record.apply(record.apply(record.empty(blacklisted), blacklisted), proof)
    assert known.reason("suppression", 1) == "her own words"
    after = record.apply(known, recorded("suppression", 2, ProofDestroyed()))
    assert after.reasons == {}
    assert after.suppressed.blacklisting is not None
