"""Proof of what a person said about an address: the personal side of suppression and consent, in streams of its own.

What stops messages must stay readable for ever; who said so, when, from where and in which words must not. So facts are
stored readable, without personal data, and the proof of each beside it, encrypted under a data key of the address.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final, Protocol
from uuid import UUID

import msgspec

from contacts.addresses import Address
from eventstore.envelope import Stream, StreamWrite

#: Category of the proof stream beside a fact stream.
PROOF_OF: Final = {"consent": "consent_proof", "suppression": "suppression_proof"}


class Proof(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What is known of how somebody agreed or objected. Every part is optional."""

    #: The words that were agreed to, or said.
    text: str | None = None
    #: Version of the form or text, where that is kept elsewhere.
    form_version: str | None = None
    #: Where: a page, a form, a call, a letter.
    source: str | None = None
    ip: str | None = None
    user_agent: str | None = None
    #: When it was said, where that differs from when it was recorded.
    occurred_at: datetime | None = None

    @property
    def is_empty(self) -> bool:
        return self == NO_PROOF

    @property
    def is_evidence(self) -> bool:
        """Whether it shows what was agreed to or where, as an opt-in must."""
        return bool(self.text or self.form_version or self.source)


NO_PROOF: Final = Proof()


class ProofRecorded(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The proof of one fact. Encrypted; its place and time stand in the event, the actor in the metadata."""

    #: Version of the fact in the fact stream of the same id.
    fact_version: int
    #: As it was given.
    address: str
    #: In the caller's own words.
    reason: str | None = None
    proof: Proof = Proof()


class ProofDestroyed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """In a fact stream: no proof recorded before can be read any more. The facts stand."""


class Provable(Protocol):
    """State of a fact stream, as far as its proof is concerned."""

    @property
    def id(self) -> UUID: ...
    @property
    def version(self) -> int: ...
    @property
    def proofs(self) -> int:
        """Events in the proof stream."""

    @property
    def destroyed(self) -> int:
        """Events in the proof stream when its proof was last destroyed, 0 if never."""


def subject_of(category: str, state: Provable) -> UUID:
    """Whose data key encrypts the present proof: another one after each destruction, which ends the one before."""
    return _subject(state.id, category, state.destroyed)


def _subject(id_: UUID, category: str, destroyed: int) -> UUID:
    text = id_.bytes + category.encode() + destroyed.to_bytes(4, "big")
    return UUID(bytes=blake2b(text, digest_size=16).digest())


class Proven(msgspec.Struct, frozen=True, gc=False):
    """A fact with what proves it."""

    fact: Any
    address: Address
    reason: str | None
    proof: Proof


def fact_writes(
    workspace_id: UUID, category: str, state: Provable, proven: Sequence[Proven], *, renew: bool = False
) -> tuple[StreamWrite, StreamWrite]:
    """The facts and the proof of each, to be appended together.

    `renew` begins with another data key, for the present one turned out to be destroyed without a fact that says so.
    """
    before = (ProofDestroyed(),) if renew else ()
    destroyed = state.proofs if renew else state.destroyed
    proofs = tuple(
        ProofRecorded(fact_version=version, address=each.address.text, reason=each.reason, proof=each.proof)
        for version, each in enumerate(proven, state.version + 1 + len(before))
    )
    return (
        StreamWrite(
            stream=Stream(workspace_id, category, state.id),
            expected_version=state.version,
            events=(*before, *(each.fact for each in proven)),
        ),
        StreamWrite(
            stream=Stream(workspace_id, PROOF_OF[category], state.id),
            expected_version=state.proofs,
            events=proofs,
            subject_id=_subject(state.id, category, destroyed),
            new_subject=state.proofs == destroyed,
        ),
    )


def destruction(workspace_id: UUID, category: str, state: Provable) -> tuple[StreamWrite, UUID]:
    """The fact that ends all proof so far, and the subject whose data key is to be destroyed in the same append."""
    write = StreamWrite(
        stream=Stream(workspace_id, category, state.id), expected_version=state.version, events=(ProofDestroyed(),)
    )
    return write, subject_of(category, state)
