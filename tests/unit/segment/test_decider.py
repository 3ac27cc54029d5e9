"""What may happen to the definition of a segment."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from contacts.segment import commands as c
from contacts.segment import events as e
from contacts.segment.decider import decide, evolve, initial
from contacts.segment.references import referenced
from contacts.segment.refusals import SegmentAlreadyExists, SegmentCycle, SegmentIsArchived, SegmentNotFound
from tests.unit.scenario import Scenario

VIPS, OTHERS = UUID(int=0xF1), UUID(int=0xF2)
GERMANS = {"field": "country", "op": "eq", "value": "DE"}
AUSTRIANS = {"field": "country", "op": "eq", "value": "AT"}
ITSELF = {"any": [GERMANS, {"not": {"all": [{"segment": str(VIPS)}]}}]}


def of_vips(kind: type[Any], **values: Any) -> Any:
    return kind(workspace_id=VIPS, segment_id=VIPS, **values)


def nothing() -> Scenario[Any]:
    return Scenario(initial(VIPS), decide, evolve)


def vips() -> Scenario[Any]:
    return nothing().given(e.SegmentCreated(name="VIPs", filter=GERMANS))


def test_a_segment_is_created_once() -> None:
    command = of_vips(c.CreateSegment, name="VIPs", filter=GERMANS)
    after = nothing().when(command).then(e.SegmentCreated(name="VIPs", filter=GERMANS))
    after.when(command).then_refused(SegmentAlreadyExists, segment_id=VIPS)


def test_name_and_filter_change_apart_and_together() -> None:
    renamed = vips().when(of_vips(c.ChangeSegment, name="Friends")).then(e.SegmentRenamed(name="Friends"))
    changed = renamed.when(of_vips(c.ChangeSegment, filter=AUSTRIANS)).then(e.SegmentRedefined(filter=AUSTRIANS))
    both = changed.when(of_vips(c.ChangeSegment, name="VIPs", filter=GERMANS)).then(
        e.SegmentRenamed(name="VIPs"), e.SegmentRedefined(filter=GERMANS)
    )
    assert (both.state.name, both.state.filter) == ("VIPs", GERMANS)


def test_the_same_filter_in_another_order_of_its_keys_is_the_same() -> None:
    vips().when(of_vips(c.ChangeSegment, filter=dict(reversed(GERMANS.items())))).then_nothing_happened()


def test_true_and_one_are_different_values_in_a_filter() -> None:
    one, true = ({"field": "attributes.x", "op": "eq", "value": value} for value in (1, True))
    given = nothing().given(e.SegmentCreated(name="VIPs", filter=one))
    given.when(of_vips(c.ChangeSegment, filter=true)).then(e.SegmentRedefined(filter=true))


def test_an_archived_segment_is_renamed_and_restored_but_not_redefined() -> None:
    archived = vips().when(of_vips(c.ArchiveSegment)).then(e.SegmentArchived())
    archived.when(of_vips(c.ChangeSegment, filter=AUSTRIANS)).then_refused(SegmentIsArchived, segment_id=VIPS)
    renamed = archived.when(of_vips(c.ChangeSegment, name="Old")).then(e.SegmentRenamed(name="Old"))
    restored = renamed.when(of_vips(c.RestoreSegment)).then(e.SegmentRestored())
    assert restored.state.filter == GERMANS


def test_a_segment_is_not_defined_by_itself() -> None:
    vips().when(of_vips(c.ChangeSegment, filter=ITSELF)).then_refused(SegmentCycle, segment_id=VIPS)
    nothing().when(of_vips(c.CreateSegment, name="VIPs", filter=ITSELF)).then_refused(SegmentCycle)


@pytest.mark.parametrize(
    "command", [of_vips(c.ChangeSegment, name="x"), of_vips(c.ArchiveSegment), of_vips(c.RestoreSegment)]
)
def test_what_does_not_exist_can_only_be_created(command: Any) -> None:
    nothing().when(command).then_refused(SegmentNotFound, segment_id=VIPS)


def test_references_are_found_at_any_depth_and_nothing_else_is_taken_for_one() -> None:
    deep: Any = {"segment": str(OTHERS)}
    for _ in range(5_000):
        deep = {"not": deep}
    assert referenced({"all": [deep, ITSELF, {"segment": "no id"}, {"any": "no group"}, 7]}) == {VIPS, OTHERS}
