"""What may happen to a list."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from contacts.lists import commands as c
from contacts.lists import events as e
from contacts.lists.decider import decide, evolve, initial
from contacts.lists.refusals import ListAlreadyExists, ListNotFound
from tests.unit.scenario import Scenario

NEWS = UUID(int=0xF1)


def of_news(kind: type[Any], **values: Any) -> Any:
    return kind(workspace_id=NEWS, list_id=NEWS, **values)


def nothing() -> Scenario[Any]:
    return Scenario(initial(NEWS), decide, evolve)


def news() -> Scenario[Any]:
    return nothing().given(e.ListCreated(name="News"))


def test_a_list_is_created_once() -> None:
    after = nothing().when(of_news(c.CreateList, name="News")).then(e.ListCreated(name="News"))
    after.when(of_news(c.CreateList, name="News")).then_refused(ListAlreadyExists, list_id=NEWS)


def test_a_list_gets_another_name() -> None:
    after = news().when(of_news(c.RenameList, name="Letters")).then(e.ListRenamed(name="Letters"))
    assert after.state.name == "Letters"


def test_an_archived_list_is_restored_with_the_name_it_got_meanwhile() -> None:
    archived = news().when(of_news(c.ArchiveList)).then(e.ListArchived())
    renamed = archived.when(of_news(c.RenameList, name="Old")).then(e.ListRenamed(name="Old"))
    assert renamed.state.archived
    restored = renamed.when(of_news(c.RestoreList)).then(e.ListRestored())
    assert (restored.state.name, restored.state.archived) == ("Old", False)


@pytest.mark.parametrize(
    "command", [of_news(c.RenameList, name="x"), of_news(c.ArchiveList), of_news(c.RestoreList)]
)  # fmt: skip
def test_what_does_not_exist_can_only_be_created(command: Any) -> None:
    nothing().when(command).then_refused(ListNotFound, list_id=NEWS)
