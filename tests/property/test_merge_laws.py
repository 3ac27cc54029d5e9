"""R6: what is merged and taken apart is as if it had never been merged, in any order, at any depth.

Random histories (trees up to depth 6 and width 8, with edits, tags, channels, deletions, restores and blocks between,
unmerges in any order, alone and with all below, edits given away) against a model written apart, and the laws that
need no model. Planted bugs: a collection forgotten at unmerge, what was taken out comes back, choices forgotten when
something else leaves, an absorbed contact that leads to one that stands for nothing any more.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, given, note, seed, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from contacts.contact import composition, state
from contacts.contact import events as e
from contacts.contact.state import Contact, evolve, fold, initial
from contacts.merge import decider
from contacts.merge.rows import MERGING
from contacts.merge.view import view
from tests.property.figures import SEED, figure
from tests.property.merge_histories import History, Mismatch
from tests.support import gathering
from tests.support.gathering import MINUTE, Gathering
from tests.support.report import Report

CHOICES = st.binary(min_size=40, max_size=240)
QUIET = settings(
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


def told(history: History) -> None:
    """Shown by Hypothesis with the smallest history that fails."""
    note("\n".join(history.trace))


# -- the model --------------------------------------------------------------------------------------------------------


def test_profiles_are_what_the_model_says_whatever_is_merged_and_taken_apart(
    property_report: Callable[[str], Report],
) -> None:
    report = property_report("R6 model")
    counts: Counter[str] = Counter()

    @seed(SEED)
    @settings(QUIET, max_examples=figure(2_000, 100_000))
    @given(CHOICES)
    def holds(choices: bytes) -> None:
        history = History(choices)
        history.run()
        counts.update(histories=1, steps=len(history.trace), merges=len(history.real.merges))
        counts[f"depth {max(map(history.model.depth, history.model.roots()))}"] += 1

    holds()
    assert counts["depth 6"], "no history came to the depth that is promised"
    report.add(dict(sorted(counts.items())))
    report.finish()


def _forgets_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    real = state._EVOLVE[e.ContactReinstated]
    monkeypatch.setitem(state._EVOLVE, e.ContactReinstated, lambda *given: replace(real(*given), lists=()))


def _ignores_what_was_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    real = composition._touch_keys
    monkeypatch.setattr(composition, "_touch_keys", lambda event: (key for key in real(event) if "\x1f" not in key))


def _forgets_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    real = state._EVOLVE[e.ContactUnmerged]

    def forgetful(*given: Any) -> Contact:
        contact = real(*given)
        if contact.composition is None:
            return contact
        kept = tuple(replace(absorption, choices={}) for absorption in contact.composition.absorptions)
        return replace(contact, composition=replace(contact.composition, absorptions=kept))

    monkeypatch.setitem(state._EVOLVE, e.ContactUnmerged, forgetful)


def _leaves_ids_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the one that left alone had absorbed still leads to it, and to nothing once that is deleted."""
    real = decider.decide_unmerge

    def careless(*given: Any) -> decider.Plan:
        plan = real(*given)
        contacts = {
            contact: events for contact, events in plan.contacts.items() if not isinstance(events[0], e.ContactAbsorbed)
        }
        return replace(plan, contacts=contacts)

    monkeypatch.setattr(gathering, "decide_unmerge", careless)


def _merges_facts_instead_of_edges(monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual way: what is empty is filled for good."""
    monkeypatch.setattr(composition, "without", lambda held, _event: held)
    monkeypatch.setattr(state, "without", lambda held, _event: held)


@pytest.mark.parametrize(
    "plant",
    [
        _forgets_lists,
        _ignores_what_was_taken_out,
        _forgets_choices,
        _leaves_ids_behind,
        _merges_facts_instead_of_edges,
    ],
)
def test_a_planted_bug_is_caught(
    plant: Callable[[pytest.MonkeyPatch], None], property_report: Callable[[str], Report]
) -> None:
    report = property_report(f"R6 planted: {plant.__name__.strip('_').replace('_', ' ')}")
    choices = random.Random(SEED)
    for number in range(1, 2_001):
        history = choices.randbytes(choices.randint(40, 240))
        History(history).run()
        with pytest.MonkeyPatch.context() as monkeypatch:
            plant(monkeypatch)
            try:
                History(history).run()
            except (Mismatch, AssertionError, LookupError):
                report.add({"caught in history": number})
                report.finish()
                return
    pytest.fail(f"nobody noticed in 2,000 histories (seed {SEED})")


# -- the laws ---------------------------------------------------------------------------------------------------------


def facts(contact: Contact) -> Contact:
    """What a profile shows, without what every event changes and how it came about."""
    channels = tuple(sorted(contact.channels, key=lambda channel: channel.key))
    return replace(contact, version=0, changed_at=None, composition=None, absorbed_by=None, channels=channels)


def everybody(book: Gathering) -> dict[UUID, Contact]:
    return {contact_id: facts(profile) for contact_id, profile in book.present().items()}


@seed(SEED)
@settings(QUIET, max_examples=figure(300, 20_000))
@given(CHOICES, st.randoms(use_true_random=False))
def test_unmerging_what_was_just_merged_changes_nothing(choices: bytes, pick: random.Random) -> None:
    history = History(choices)
    history.run()
    told(history)
    book = history.real
    before, holders = everybody(book), dict(book.holders)
    can = sorted(root for root, profile in before.items() if not (profile.deleted or profile.blocked))
    if len(can) < 2:
        return
    primary, *others = pick.sample(can, pick.randint(2, len(can)))
    fields = pick.sample(["email", "first_name", "country", "phone"], 2)
    merge = UUID(int=0xFFF)
    book.merge(merge, primary, *others, **{field: pick.choice([primary, *others]) for field in fields})
    assert everybody(book) != before
    book.unmerge(merge)
    assert everybody(book) == before
    assert book.holders == holders


@seed(SEED)
@settings(QUIET, max_examples=figure(300, 20_000))
@given(CHOICES, st.randoms(use_true_random=False))
def test_unmerges_commute(choices: bytes, pick: random.Random) -> None:
    history = History(choices)
    history.run()
    told(history)
    standing = [(merge_id, merge.merged) for merge_id, merge in history.real.merges.items() if merge.merged]
    if len(standing) < 2:
        return
    orders = [
        (merge, pick.sample(merged, pick.randint(1, len(merged))), pick.choice(["subtree", "single"]))
        for merge, merged in pick.sample(standing, pick.randint(2, min(4, len(standing))))
    ]
    one, other = history.real, history.real.copy()
    for merge, contacts, mode in orders:
        one.unmerge(merge, *contacts, mode=mode)
    for merge, contacts, mode in pick.sample(orders, len(orders)):
        other.unmerge(merge, *contacts, mode=mode)
    assert everybody(one) == everybody(other)
    assert one.holders == other.holders


@seed(SEED)
@settings(QUIET, max_examples=figure(300, 20_000))
@given(CHOICES)
def test_what_was_merged_and_taken_apart_is_as_if_never_merged(choices: bytes) -> None:
    history = History(choices)
    history.run()
    told(history)
    book = history.real
    for merge in list(book.merges):
        book.unmerge(merge)
    for contact_id, contact in book.contacts.items():
        never = initial(contact_id)
        for recorded in book.streams[contact_id]:
            if recorded.type not in MERGING:
                never = fold(never, recorded)
        assert facts(contact) == facts(never)
        assert book.shown(contact_id) is contact


@seed(SEED)
@settings(QUIET, max_examples=figure(200, 20_000))
@given(CHOICES)
def test_rules_see_of_a_profile_what_everybody_will_see(choices: bytes) -> None:
    """Deciders judge what a command would lead to by folding its events into the profile they were given."""
    history = History(choices)
    record = history.real._record

    def recorded(happened: dict[UUID, Any]) -> None:
        judged = {}
        if len(happened) == 1:
            [(contact_id, events)] = happened.items()
            if contact_id in history.real.contacts:
                judged[contact_id] = history.real.shown(contact_id)
                for event in events:
                    judged[contact_id] = evolve(judged[contact_id], event, history.real.now + MINUTE)
        record(happened)
        for contact_id, profile in judged.items():
            told(history)
            assert facts(profile) == facts(history.real.shown(contact_id))

    history.real._record = recorded  # type: ignore[method-assign, assignment]
    history.run()


def test_a_chain_of_merges_has_no_limit() -> None:
    """Each merge puts all before it one level deeper."""
    book = Gathering()
    ids = [UUID(int=number) for number in range(1, 2_001)]
    for contact_id in ids:
        book.create(contact_id, email=f"{contact_id.int}@example.com", tags=(f"t{contact_id.int % 7}",))
    for number, (below, above) in enumerate(pairwise(ids)):
        book.contacts[above] = evolve(
            book.contacts[above], e.ContactMerged(merge_id=UUID(int=9_000 + number), others=(below,)), book.now
        )
        absorbed = e.ContactAbsorbed(merge_id=UUID(int=9_000 + number), into=above)
        book.contacts[below] = evolve(book.contacts[below], absorbed, book.now)
    shown = view(book.contacts[ids[-1]], book.contacts)
    assert len(shown.absorbed) == 1_999
    assert shown.tags == tuple(f"t{number}" for number in range(7))
