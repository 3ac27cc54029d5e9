"""R7: no address becomes sendable again without an explicit re-opt-in, whatever happens to contacts meanwhile.

Random histories of contacts whose addresses are spelt in every way (case, IDN, plus, dots), with imports that
overwrite, edits, deletions, restores, merges, unmerges, erasures, new contacts with old addresses, links, blacklists of
two workspaces. After every step every address is asked about, and compared with a model written apart that lets
nothing but the person's own, proven words end an objection. Each planted bug has been a bug of real products.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, note, seed, settings
from hypothesis import strategies as st

from contacts import addresses
from contacts.consent import commands as c
from contacts.consent import decider, may_send
from contacts.consent import state as consent
from contacts.emails import email_normal
from tests.property.figures import SEED, figure
from tests.property.opt_out_histories import History, Mismatch, Rules
from tests.support.gathering import WORKSPACE
from tests.support.report import Report

CHOICES = st.binary(min_size=40, max_size=200)
QUIET = settings(
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


def test_nothing_but_the_person_s_own_words_makes_an_address_sendable_again(
    property_report: Callable[[str], Report],
) -> None:
    report = property_report("R7 model")
    counts: Counter[str] = Counter()

    @seed(SEED)
    @settings(QUIET, max_examples=figure(2_000, 100_000))
    @given(CHOICES)
    def holds(choices: bytes) -> None:
        history = History(choices)
        try:
            history.run()
        finally:
            note("\n".join(history.trace))
        counts.update(histories=1, steps=len(history.trace), stopped=history.stopped)
        counts.update(line.partition("'")[2].partition("'")[0] for line in history.trace if line.endswith("accepted"))

    holds()
    assert all(counts[name] for name in ("resubscribe", "confirm", "unblacklist", "clear_spam", "unmerge", "erase"))
    report.add(dict(sorted(counts.items())))
    report.finish()


# -- planted bugs -----------------------------------------------------------------------------------------------------


def _restore_resubscribes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A restored contact begins anew, as if nobody had said anything."""
    real = Rules._restore

    def careless(self: Rules, step: Any) -> None:
        real(self, step)
        root = self.book.root_of(self.ids[step.contact])
        digest = self.keys.email_digest(self.book.contacts[root].email)  # type: ignore[arg-type]
        for place in [place for place in self.table if place[1] == digest and place[2] == "consent"]:
            del self.table[place]

    monkeypatch.setattr(Rules, "_restore", careless)


def _a_variant_is_another_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """An edit of the e-mail to another spelling resets the status."""
    monkeypatch.setattr(addresses, "email_widest", email_normal)


def _an_import_subscribes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The overwritten row says subscribed, so everybody is."""
    real = Rules._import

    def careless(self: Rules, step: Any) -> None:
        real(self, step)
        address = self.keys.email(step.email)
        for stream, facts in list(self.facts.items()):
            if stream.category == "consent" and stream.id == addresses.address_id(WORKSPACE, address.widest):
                facts.clear()
        for place in [place for place in self.table if place[1] == address.widest and place[2] == "consent"]:
            del self.table[place]

    monkeypatch.setattr(Rules, "_import", careless)


def _the_most_permissive_wins_at_merge(monkeypatch: pytest.MonkeyPatch) -> None:
    def permissive(digests: Any, stopped: Any) -> Any:
        reasons = [stopped.get(digest) for digest in digests]
        return None if None in reasons else (reasons or ["no_address"])[0]

    monkeypatch.setattr(may_send, "_worst", permissive)


def _any_spelling_may_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    def granted(on: Any, event: Any, said: Any) -> Any:
        return consent.replace(on, withdrawn={}, granted={**on.granted, event.exact: said})

    monkeypatch.setattr(decider, "_require_own", lambda *_: None)
    monkeypatch.setitem(consent._EVOLVE, consent.e.ConsentGranted, granted)


def _an_opt_in_needs_no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decider, "_require_evidence", lambda _: None)


def _an_old_link_confirms_after_an_objection(monkeypatch: pytest.MonkeyPatch) -> None:
    real = decider._confirm

    def careless(command: Any, state: Any) -> Any:
        return [consent.replace(event, reopens=True) for event in real(command, state)]

    monkeypatch.setitem(decider._DECIDE, c.ConfirmDoubleOptIn, careless)


@pytest.mark.parametrize(
    "plant",
    [
        _restore_resubscribes,
        _a_variant_is_another_address,
        _an_import_subscribes,
        _the_most_permissive_wins_at_merge,
        _any_spelling_may_agree,
        _an_opt_in_needs_no_proof,
        _an_old_link_confirms_after_an_objection,
    ],
)
def test_a_planted_bug_is_caught(
    plant: Callable[[pytest.MonkeyPatch], None], property_report: Callable[[str], Report]
) -> None:
    report = property_report(f"R7 planted: {plant.__name__.strip('_').replace('_', ' ')}")
    choices = random.Random(SEED)
    for number in range(1, 2_001):
        history = choices.randbytes(choices.randint(40, 200))
        History(history).run()
        with pytest.MonkeyPatch.context() as monkeypatch:
            plant(monkeypatch)
            try:
                History(history).run()
            except (Mismatch, AssertionError):
                report.add({"caught in history": number})
                report.finish()
                return
    pytest.fail(f"nobody noticed in 2,000 histories (seed {SEED})")
