"""What people agree and object to, for demonstrations and benchmarks: consents with proof, complaints, bounces."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final
from uuid import UUID

from contacts.addresses import Address, AddressKeys
from contacts.consent import commands as c
from contacts.consent.commands import AddressCommand
from contacts.contact.state import Contact
from contacts.errors import Refusal
from contacts.facts import CATEGORIES, Decided, stream_of
from contacts.proof import Proof, Proven
from contacts.suppression.commands import BlacklistAddress
from eventstore.envelope import Metadata, Stream, Write

FORM: Final = Proof(text="Yes, send me news and offers.", form_version="4")


class Agreements:
    """Makes what is said of one contact's addresses after another's; the same for the same seed."""

    def __init__(self, keys: AddressKeys, seed: str, actor: str) -> None:
        self._keys = keys
        self._random = Random(seed)
        self._actor = actor
        #: Several contacts can have the same address.
        self._states: dict[Stream, Any] = {}
        self._latest: dict[Stream, datetime] = {}

    def of(self, contact: Contact, workspace_id: UUID, until: datetime) -> Iterator[Write]:
        """After the contact was created, in order."""
        at = contact.created_at
        assert at is not None
        for command in self._commands(contact, workspace_id):
            at += (until - at) * (self._random.random() / 2)
            write = self._write(command, at + timedelta(seconds=1))
            if write is not None:
                yield write

    def _commands(self, contact: Contact, workspace_id: UUID) -> Iterator[AddressCommand]:
        chance = self._random.random
        if contact.email and chance() < 0.45:
            which = _which(workspace_id, contact, self._keys.email(contact.email))
            if chance() < 0.75:
                yield c.GrantConsent(**which, **self._proven(), channel="email")
            what = chance()
            if what < 0.12:
                yield c.WithdrawConsent(**which, channel="email")
            elif what < 0.15:
                yield c.UnsubscribeFromAll(**which, channel="email")
            elif what < 0.17:
                yield c.ReportSpam(**which, channel="email", reason="complained at the provider")
            elif what < 0.22:
                yield BlacklistAddress(**which, cause="hard_bounce")
            elif what < 0.26:
                yield c.UnsubscribeCategory(**which, channel="email", category="offers")
        if contact.phone and chance() < 0.12:
            which = _which(workspace_id, contact, self._keys.phone(contact.phone))
            yield c.GrantConsent(**which, **self._proven(), channel=self._random.choice(("sms", "sms", "whatsapp")))
            if chance() < 0.1:
                yield c.WithdrawConsent(**which, channel="sms")

    def _proven(self) -> dict[str, Any]:
        return {"proof": FORM, "proof_digest": self._keys.proof_digest(FORM)}

    def _write(self, command: AddressCommand, at: datetime) -> Write | None:
        stream = stream_of(command)
        category = CATEGORIES[stream.category]
        before = self._states.get(stream) or category.initial(stream.id)
        try:
            facts = category.decide(command, before)
        except Refusal:
            return None
        if not facts:
            return None
        proven = tuple(Proven(fact, command.address, command.reason, command.proof) for fact in facts)
        decided = Decided(workspace_id=command.workspace_id, category=category, before=before, proven=proven)
        # What is said of an address later was decided on later.
        at = self._latest[stream] = max(at, self._latest.get(stream, at))
        self._states[stream] = decided.after(at, self._actor)
        return Write(
            workspace_id=command.workspace_id,
            streams=decided.writes(renew=False),
            suppressions=decided.suppressions(),
            metadata=Metadata(actor=self._actor, source=command.source, occurred_at=at),
        )


def _which(workspace_id: UUID, contact: Contact, address: Address) -> dict[str, Any]:
    source = "subscription_form"
    return {"workspace_id": workspace_id, "contact_id": contact.id, "address": address, "source": source}
