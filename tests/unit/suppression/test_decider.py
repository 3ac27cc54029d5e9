"""Given what is on a blacklist, when somebody adds or lifts, then these facts, a refusal or nothing."""

from __future__ import annotations

from contacts import errors
from contacts.proof import ProofDestroyed
from contacts.suppression import commands as c
from contacts.suppression import events as e
from contacts.suppression.state import INSTALLATION, rows
from tests.unit.consent.examples import ANN, ANN_PHONE, WORKSPACE, ask, blacklist, fact
from tests.unit.scenario import AT

LISTED = fact(e.AddressBlacklisted)
LIFTED = fact(e.AddressUnblacklisted)


def test_an_address_is_listed_once() -> None:
    after = (
        blacklist()
        .when(ask(c.BlacklistAddress, cause="hard_bounce"))
        .then(fact(e.AddressBlacklisted, cause="hard_bounce"))
    )
    after.when(ask(c.BlacklistAddress, cause="complaint")).then_nothing_happened()


def test_lifting_needs_a_reason() -> None:
    listed = blacklist().given(LISTED)
    listed.when(ask(c.UnblacklistAddress)).then_refused(errors.ReasonMissing)
    listed.when(ask(c.UnblacklistAddress, reason="the mailbox is back")).then(LIFTED)
    blacklist().when(ask(c.UnblacklistAddress, reason="to be sure")).then_nothing_happened()


def test_an_e_mail_address_is_closed_for_everybody_and_a_phone_for_the_workspace() -> None:
    (email,) = rows(blacklist().given(LISTED).state, WORKSPACE)
    (phone,) = rows(blacklist(ANN_PHONE).given(fact(e.AddressBlacklisted, ANN_PHONE)).state, WORKSPACE)
    assert (email.scope_id, email.holder_id, email.channel, email.status) == (
        INSTALLATION,
        WORKSPACE,
        "email",
        "blacklisted",
    )
    assert (phone.scope_id, phone.channel, phone.since) == (WORKSPACE, "phone", AT)


def test_a_lifted_entry_leaves_a_row_that_stops_nothing() -> None:
    (row,) = rows(blacklist().given(LISTED, LIFTED).state, WORKSPACE)
    assert (row.status, row.cause, row.since, row.address) == (None, None, None, ANN.widest)


def test_an_address_that_was_never_listed_has_no_row() -> None:
    assert rows(blacklist().state, WORKSPACE) == ()


def test_an_entry_stands_when_its_proof_is_destroyed() -> None:
    state = blacklist().given(LISTED, ProofDestroyed()).state
    assert state.blacklisting is not None
    assert state.destroyed == state.proofs == 1
