"""Sentences of the history: every event has one, and they say who did what, how and why."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from contacts.audit.chronicle import Step
from contacts.audit.sentences import SAY, sentence
from contacts.audit.words import Names
from contacts.catalog import EVENT_TYPES
from contacts.consent.events import ConsentWithdrawn
from contacts.contact import events as e
from contacts.contact.changes import FieldChange
from contacts.proof import ProofRecorded
from contacts.workspace.state import Key, Workspace
from eventstore.envelope import Metadata, RecordedEvent, Unreadable, new_id

NOW = datetime(2026, 11, 22, tzinfo=UTC)
ANN, BEA, MERGE = UUID(int=1), UUID(int=2), UUID(int=3)
WORKSPACE = UUID(int=9)
#: What the history of a contact is made of.
TOLD = ("contact.", "consent.", "suppression.")
KEY = Key(id="k1", name="CRM sync", digest=b"", role="manager", scopes=(), issued_at=NOW, expires_at=None)
NAMES = Names(Workspace(id=WORKSPACE, version=1, keys={"k1": KEY}), ANN)


def step(event: Any, *own: FieldChange, contact: UUID | None = ANN, **metadata: Any) -> Step:
    category = "contact" if contact else "consent"
    recorded = RecordedEvent(
        lane=0, position=1, workspace_id=WORKSPACE, category=category, stream_id=contact or UUID(int=8), version=1,
        event_id=new_id(), type="contact.x", schema_version=1, recorded_at=NOW,
        metadata=Metadata(**{"actor": "key:k1", "source": "api", **metadata}), event=event,
    )  # fmt: skip
    return Step(recorded=recorded, contact=contact, shown=True, own=own, changes=own)


def said(event: Any, *own: FieldChange, proof: ProofRecorded | None = None, ours: bool = True, **more: Any) -> str:
    return sentence(step(event, *own, **more), NAMES, proof, own_workspace=ours)


def test_every_event_of_a_contacts_history_has_a_sentence() -> None:
    missing = [each.name for each in EVENT_TYPES if each.name.startswith(TOLD) and each.struct not in SAY]
    assert not missing


def test_an_edit_says_what_was_and_what_is() -> None:
    event = e.ContactDetailsChanged(first_name="Anna")
    changes = (
        FieldChange(field="first_name", old="Ann", new="Anna"),
        FieldChange(field="phone", old=None, new="+4930901820"),
        FieldChange(field="attributes.plan", old="gold", new=None),
    )
    assert said(event, *changes) == (
        "API key “CRM sync” edited this contact over the API: changed first name from “Ann” to “Anna”, set phone to "
        "“+4930901820” and cleared the attribute “plan” (it was “gold”)."
    )


def test_a_creation_says_with_what_and_who_vouched() -> None:
    event = e.ContactCreated(source="manual", consent_attested=True)
    changes = (FieldChange(field="email", new="ann@example.com"), FieldChange(field="tags", old=(), new=("vip", "x")))
    assert said(event, *changes, actor="user:anna", source="manual") == (
        "Member “anna” created this contact by hand with e-mail “ann@example.com” and tags “vip” and “x”, and vouched "
        "for the person's consent."
    )


@pytest.mark.parametrize(
    ("event", "done", "tail"),
    [
        (e.ContactTagged(tags=("vip",)), "gave this contact the tag “vip”", ""),
        (e.ContactDeleted(reason="left"), "deleted this contact", ", because: “left”"),
        (
            e.ContactMerged(merge_id=MERGE, others=(BEA,)),
            f"merged contact {BEA} into this contact",
            f" (merge {MERGE})",
        ),
        (
            e.ContactUnmerged(merge_id=MERGE, contacts=(BEA,), mode="single"),
            f"took contact {BEA} out of this contact again",
            f", alone (merge {MERGE})",
        ),
        (
            e.ContactRestored(released=(e.Released(contact=ANN, field="external_id", holder=BEA),)),
            "restored this contact",
            f" without the external id of this contact, which contact {BEA} has now",
        ),
        (
            e.ContactErased(erasure_id=MERGE, reason="person_asked"),
            "erased all personal data of this contact",
            f", because the person asked for it (certificate {MERGE})",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_happened_is_said_in_words(event: Any, done: str, tail: str) -> None:
    assert said(event) == f"API key “CRM sync” {done} over the API{tail}."


def test_what_a_person_said_of_an_address_is_told_with_the_address_and_the_words() -> None:
    event = ConsentWithdrawn(address=b"", exact=b"", channel="email", source="api")
    proof = ProofRecorded(fact_version=1, address="ann@example.com", reason="too many mails")
    assert said(event, contact=None, proof=proof, source="one_click", actor=None) == (
        "Somebody recorded that the person wants nothing more by e-mail at “ann@example.com” with the unsubscribe "
        "link, because: “too many mails”."
    )


def test_of_another_workspace_nothing_is_told_but_that_it_was_one() -> None:
    event = ConsentWithdrawn(address=b"", exact=b"", channel="email", source="api")
    text = said(event, contact=None, ours=False)
    assert text == "Another workspace of this installation recorded that the person wants nothing more by e-mail."


def test_what_was_erased_is_not_told() -> None:
    told = sentence(step(Unreadable(type="contact.tagged")), NAMES, None, own_workspace=True)
    assert told == "API key “CRM sync” made a change (x: what it said was erased)."


def test_no_sentence_is_longer_than_somebody_would_read() -> None:
    long = said(e.ContactDeleted(reason="x" * 1_000))
    assert len(long) < 400
    assert msgspec.json.encode(long)
