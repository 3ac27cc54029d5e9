"""Addresses and scenarios of suppression and consent, so that each test shows only what matters to it."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Final
from uuid import UUID

from contacts.addresses import Address, AddressKeys, address_id
from contacts.consent import decider as consent
from contacts.proof import Proof
from contacts.suppression import decider as suppression
from contacts.values import Email, Phone
from tests.unit.scenario import Scenario

WORKSPACE: Final = UUID("01900000-0000-7000-8000-000000000001")
KEYS: Final = AddressKeys(lambda purpose, text: blake2b(f"{purpose}:{text}".encode(), digest_size=16).digest())
ANN: Final = KEYS.email(Email("ann@example.com"))
#: The same mailbox, spelt otherwise.
ANN_NEWS: Final = KEYS.email(Email("ann+news@example.com"))
ANN_PHONE: Final = KEYS.phone(Phone("+4930901820"))
FORM: Final = Proof(text="Yes, send me news", form_version="7")
DIGEST: Final = b"\x01" * 16


def ledger(address: Address = ANN) -> Scenario[consent.Consent]:
    state = consent.initial(address_id(WORKSPACE, address.widest))
    return Scenario(state, consent.decide, consent.evolve)


def blacklist(address: Address = ANN) -> Scenario[suppression.Suppressed]:
    state = suppression.initial(address_id(WORKSPACE, address.widest))
    return Scenario(state, suppression.decide, suppression.evolve)


def ask(command: type, address: Address = ANN, channel: str | None = None, **fields: Any) -> Any:
    """A command about an address; on the channel named like its family where nothing else is said."""
    if "proof" in fields:
        fields.setdefault("proof_digest", DIGEST)
    channel = {} if command.__module__.startswith("contacts.suppression") else {"channel": channel or address.family}
    return command(workspace_id=WORKSPACE, address=address, **channel, **fields)


def fact(event: type, address: Address = ANN, channel: str | None = None, **fields: Any) -> Any:
    """What is recorded when `address` says something."""
    place = {"address": address.widest, "exact": address.exact, "channel": channel or address.family}
    if event.__module__.startswith("contacts.suppression"):
        place = {"address": address.widest, "family": address.family}
    return event(source=fields.pop("source", "api"), **place, **fields)
