"""All that one workspace recorded of one address, folded from its four streams: facts and proof. Pure."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec.structs import replace

from contacts.addresses import Digest, Family
from contacts.consent import state as consent
from contacts.consent.events import CATEGORY as CONSENT
from contacts.consent.state import Consent, Said
from contacts.proof import PROOF_OF, ProofDestroyed, ProofRecorded
from contacts.suppression import state as suppression
from contacts.suppression.events import CATEGORY as SUPPRESSION
from contacts.suppression.state import Suppressed
from eventstore.envelope import RecordedEvent

CATEGORIES: Final = (CONSENT, SUPPRESSION, PROOF_OF[CONSENT], PROOF_OF[SUPPRESSION])
_FACTS_OF: Final = {proof: facts for facts, proof in PROOF_OF.items()}


class AddressRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What stands, and in whose words. Applying events again changes nothing: the versions say what is in it."""

    consent: Consent
    suppressed: Suppressed
    #: Reasons in words by category and version of the fact, while the fact stands and its proof can be read.
    reasons: dict[str, dict[int, str]] = {}

    @property
    def address(self) -> Digest:
        """Empty where nothing was recorded yet."""
        return self.consent.address or self.suppressed.address

    @property
    def family(self) -> Family:
        return self.suppressed.family or self.consent.family

    def reason(self, category: str, version: int) -> str | None:
        return self.reasons.get(category, {}).get(version)


def empty(recorded: RecordedEvent[Any]) -> AddressRecord:
    """Before the first event of the address that `recorded` is about."""
    return AddressRecord(
        consent=consent.initial(recorded.stream_id), suppressed=suppression.initial(recorded.stream_id)
    )


def apply(record: AddressRecord, recorded: RecordedEvent[Any]) -> AddressRecord:
    """The record after an event of one of `CATEGORIES`; a proof comes after its fact.

    Raises ValueError where a fact before it is missing.
    """
    event = recorded.event
    if recorded.category in _FACTS_OF:
        return _with_reason(record, _FACTS_OF[recorded.category], event) if isinstance(event, ProofRecorded) else record
    of_consent = recorded.category == CONSENT
    version = record.consent.version if of_consent else record.suppressed.version
    if recorded.version <= version:
        return record
    if recorded.version != version + 1:
        raise ValueError(f"found version {recorded.version}, expected {version + 1}")
    if of_consent:
        record = replace(record, consent=consent.fold(record.consent, recorded))
    else:
        record = replace(record, suppressed=suppression.fold(record.suppressed, recorded))
    reasons = record.reasons
    if isinstance(event, ProofDestroyed):
        reasons = {category: words for category, words in reasons.items() if category != recorded.category}
    return replace(record, reasons=_standing(record, reasons)) if record.reasons else record


def _with_reason(record: AddressRecord, category: str, event: ProofRecorded) -> AddressRecord:
    if event.reason is None:
        return record
    words = {**record.reasons.get(category, {}), event.fact_version: event.reason}
    return replace(record, reasons=_standing(record, {**record.reasons, category: words}))


def _standing(record: AddressRecord, reasons: dict[str, dict[int, str]]) -> dict[str, dict[int, str]]:
    """Without those of facts that no longer stand, so that it does not grow with every change."""
    present = {
        CONSENT: {said.version for said in _said(record.consent)},
        SUPPRESSION: {entry.version} if (entry := record.suppressed.blacklisting) else set(),
    }
    kept = {
        category: {version: text for version, text in words.items() if version in present[category]}
        for category, words in reasons.items()
    }
    return {category: words for category, words in kept.items() if words}


def _said(state: Consent) -> list[Said]:
    return [
        said
        for on in state.channels.values()
        for by_spelling in (
            on.withdrawn, on.granted, on.pending, on.spam, *(topic.withdrawn for topic in on.topics.values())
        )
        for said in by_spelling.values()
    ]  # fmt: skip
