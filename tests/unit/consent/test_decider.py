"""Given what was said about an address, when somebody says more, then these facts, a refusal or nothing."""

from __future__ import annotations

import pytest

from contacts import errors
from contacts.consent import commands as c
from contacts.consent import events as e
from contacts.consent.rows import stopped
from contacts.proof import Proof, ProofDestroyed
from contacts.values import Phone
from eventstore.envelope import Unreadable
from tests.unit.consent.examples import ANN, ANN_NEWS, ANN_PHONE, DIGEST, FORM, KEYS, ask, fact, ledger

GRANTED = fact(e.ConsentGranted, proof=DIGEST)
WITHDRAWN = fact(e.ConsentWithdrawn)
REQUESTED = fact(e.DoubleOptInRequested)


def status(scenario, channel: str = "email") -> str | None:  # type: ignore[no-untyped-def]
    found = stopped(scenario.state, channel)
    return found and found[0]


def test_an_agreement_with_proof_is_recorded() -> None:
    after = ledger().when(ask(c.GrantConsent, proof=FORM)).then(GRANTED)
    assert status(after) is None
    assert ANN.exact in after.state.on("email").granted


@pytest.mark.parametrize("proof", [Proof(), Proof(ip="192.0.2.1", user_agent="a browser")])
def test_an_agreement_without_evidence_is_refused(proof: Proof) -> None:
    ledger().when(ask(c.GrantConsent, proof=proof)).then_refused(errors.ProofMissing)


def test_an_agreement_with_another_proof_is_recorded_again() -> None:
    renewed = ask(c.GrantConsent, proof=Proof(form_version="8"), proof_digest=b"\x02" * 16)
    ledger().given(GRANTED).when(renewed).then(fact(e.ConsentGranted, proof=b"\x02" * 16))


def test_an_objection_needs_nothing_and_stops_messages() -> None:
    after = ledger().given(GRANTED).when(ask(c.WithdrawConsent)).then(WITHDRAWN)
    assert status(after) == "unsubscribed"
    assert not after.state.on("email").granted


def test_who_objected_can_agree_again_with_proof() -> None:
    objected = ledger().given(GRANTED, WITHDRAWN)
    objected.when(ask(c.GrantConsent)).then_refused(errors.ProofMissing)
    assert status(objected.when(ask(c.GrantConsent, proof=FORM)).then(GRANTED)) is None


def test_an_objection_holds_for_every_spelling_and_only_its_own_ends_it() -> None:
    objected = ledger().given(WITHDRAWN)
    assert ANN.widest == ANN_NEWS.widest
    objected.when(ask(c.GrantConsent, ANN_NEWS, proof=FORM)).then_refused(errors.ObjectionOfOtherSpelling)
    both = objected.when(ask(c.WithdrawConsent, ANN_NEWS)).then(fact(e.ConsentWithdrawn, ANN_NEWS))
    both.when(ask(c.GrantConsent, proof=FORM)).then_refused(errors.ObjectionOfOtherSpelling)


def test_case_and_idn_are_the_same_spelling() -> None:
    assert KEYS.email("Ann@EXAMPLE.com").exact == ANN.exact  # type: ignore[arg-type]
    german, ascii_ = KEYS.email("a@bücher.de"), KEYS.email("A@xn--bcher-kva.de")  # type: ignore[arg-type]
    assert (german.exact, german.widest) == (ascii_.exact, ascii_.widest)


def test_a_phone_s_extension_is_another_spelling_of_the_same_line() -> None:
    extended = KEYS.phone(Phone("+4930901820;ext=12"))
    assert extended.widest == ANN_PHONE.widest
    assert extended.exact != ANN_PHONE.exact


def test_channels_of_a_phone_are_objected_to_one_by_one() -> None:
    after = (
        ledger(ANN_PHONE)
        .when(ask(c.WithdrawConsent, ANN_PHONE, "sms"))
        .then(fact(e.ConsentWithdrawn, ANN_PHONE, "sms"))
    )
    assert status(after, "sms") == "unsubscribed"
    assert status(after, "whatsapp") is None


def test_unsubscribing_from_all_reaches_every_channel_of_the_address() -> None:
    agreed = ledger(ANN_PHONE).given(fact(e.ConsentGranted, ANN_PHONE, "sms", proof=DIGEST))
    after = agreed.when(ask(c.UnsubscribeFromAll, ANN_PHONE, "sms")).then(fact(e.UnsubscribedFromAll, ANN_PHONE))
    assert {status(after, channel) for channel in ("sms", "whatsapp", "viber", "phone")} == {"unsubscribed"}


def test_after_unsubscribing_from_all_one_channel_can_be_agreed_to_again() -> None:
    left = ledger(ANN_PHONE).given(fact(e.UnsubscribedFromAll, ANN_PHONE))
    after = left.when(ask(c.GrantConsent, ANN_PHONE, "sms", proof=FORM)).then(
        fact(e.ConsentGranted, ANN_PHONE, "sms", proof=DIGEST)
    )
    assert status(after, "sms") is None
    assert status(after, "whatsapp") == "unsubscribed"
    again = after.when(ask(c.UnsubscribeFromAll, ANN_PHONE)).then(fact(e.UnsubscribedFromAll, ANN_PHONE))
    assert status(again, "sms") == "unsubscribed"


def test_an_address_is_not_confirmed_until_the_person_confirms() -> None:
    asked = ledger().when(ask(c.RequestDoubleOptIn)).then(REQUESTED)
    assert status(asked) == "not_confirmed"
    confirmed = asked.when(ask(c.ConfirmDoubleOptIn, proof=FORM)).then(fact(e.DoubleOptInConfirmed, proof=DIGEST))
    assert status(confirmed) is None
    assert ANN.exact in confirmed.state.on("email").granted


def test_who_has_agreed_is_not_asked_to_confirm() -> None:
    ledger().given(GRANTED).when(ask(c.RequestDoubleOptIn)).then_nothing_happened()
    ledger().given(GRANTED, WITHDRAWN).when(ask(c.RequestDoubleOptIn)).then(REQUESTED)


def test_confirming_what_nobody_asked_for_does_nothing() -> None:
    ledger().when(ask(c.ConfirmDoubleOptIn, proof=FORM)).then_nothing_happened()
    ledger().given(WITHDRAWN).when(ask(c.ConfirmDoubleOptIn, proof=FORM)).then_nothing_happened()


def test_a_form_sent_after_an_objection_and_confirmed_is_a_new_opt_in() -> None:
    asked = ledger().given(WITHDRAWN, REQUESTED)
    assert status(asked) == "unsubscribed"
    asked.when(ask(c.ConfirmDoubleOptIn)).then_refused(errors.ProofMissing)
    reopened = fact(e.DoubleOptInConfirmed, proof=DIGEST, reopens=True)
    assert status(asked.when(ask(c.ConfirmDoubleOptIn, proof=FORM)).then(reopened)) is None


def test_an_old_confirmation_link_does_not_end_a_later_objection() -> None:
    objected = ledger().given(REQUESTED, WITHDRAWN)
    after = objected.when(ask(c.ConfirmDoubleOptIn, proof=FORM)).then(fact(e.DoubleOptInConfirmed, proof=DIGEST))
    assert status(after) == "unsubscribed"
    assert not after.state.on("email").granted


def test_an_objection_repeated_after_a_form_was_sent_is_heard_again() -> None:
    """Found by R7: the repeat was not recorded, so the link of the form let messages through."""
    asked = ledger().given(WITHDRAWN, REQUESTED)
    for command, fact_ in ((c.WithdrawConsent, WITHDRAWN), (c.UnsubscribeFromAll, fact(e.UnsubscribedFromAll))):
        again = asked.when(ask(command)).then(fact_)
        after = again.when(ask(c.ConfirmDoubleOptIn, proof=FORM)).then(fact(e.DoubleOptInConfirmed, proof=DIGEST))
        assert status(after) == "unsubscribed"


def test_a_complaint_outweighs_an_agreement_until_it_is_cleared_with_a_reason() -> None:
    reported = ledger().given(GRANTED).when(ask(c.ReportSpam)).then(fact(e.SpamReported))
    assert status(reported) == "spam_report"
    reported.when(ask(c.ClearSpam)).then_refused(errors.ReasonMissing)
    cleared = reported.when(ask(c.ClearSpam, reason="clicked by mistake")).then(fact(e.SpamCleared))
    assert status(cleared) is None


def test_clearing_a_complaint_does_not_end_an_objection() -> None:
    both = ledger().given(WITHDRAWN, fact(e.SpamReported))
    cleared = both.when(ask(c.ClearSpam, reason="clicked by mistake")).then(fact(e.SpamCleared))
    assert status(cleared) == "unsubscribed"


def test_clearing_where_nobody_complained_does_nothing() -> None:
    ledger().when(ask(c.ClearSpam, reason="to be sure")).then_nothing_happened()


def test_a_category_is_objected_to_without_the_rest() -> None:
    left = fact(e.CategoryUnsubscribed, category="weekly")
    after = ledger().when(ask(c.UnsubscribeCategory, category="weekly")).then(left)
    assert status(after) is None
    assert after.state.topic("email", "weekly").withdrawn
    after.when(ask(c.SubscribeCategory, category="weekly")).then_refused(errors.ProofMissing)
    after.when(ask(c.SubscribeCategory, ANN_NEWS, category="weekly", proof=FORM)).then_refused(
        errors.ObjectionOfOtherSpelling
    )
    after.when(ask(c.SubscribeCategory, category="weekly", proof=FORM)).then(
        fact(e.CategorySubscribed, category="weekly", proof=DIGEST)
    )


def test_a_category_nobody_objected_to_is_subscribed_without_proof() -> None:
    ledger().when(ask(c.SubscribeCategory, category="weekly")).then(fact(e.CategorySubscribed, category="weekly"))


def test_facts_stand_when_their_proof_is_destroyed() -> None:
    scenario = ledger().given(WITHDRAWN, ProofDestroyed(), Unreadable(type="consent.granted"))
    assert status(scenario) == "unsubscribed"
    assert (scenario.state.version, scenario.state.proofs, scenario.state.destroyed) == (3, 1, 1)
