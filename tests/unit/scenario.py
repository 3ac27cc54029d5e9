"""Given events, when a command comes, then these events, a refusal or nothing: how deciders are tested."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import pytest

S = TypeVar("S")

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Scenario(Generic[S]):
    """One decider and the history it starts from. Every `given` adds to the history of a new scenario."""

    def __init__(
        self,
        state: S,
        decide: Callable[[Any, S], Sequence[Any]],
        evolve: Callable[[S, Any, datetime], S],
    ) -> None:
        self.state = state
        self._decide = decide
        self._evolve = evolve

    def given(self, *events: Any, at: datetime = AT) -> Scenario[S]:
        state = self.state
        for event in events:
            state = self._evolve(state, event, at)
        return Scenario(state, self._decide, self._evolve)

    def when(self, command: Any) -> Decision[S]:
        return Decision(self, self._decide, command)


class Decision(Generic[S]):
    """What a command would lead to; nothing is decided before `then…` is asked."""

    def __init__(self, scenario: Scenario[S], decide: Callable[[Any, S], Sequence[Any]], command: Any) -> None:
        self._scenario = scenario
        self._decide = decide
        self._command = command

    def then(self, *expected: Any) -> Scenario[S]:
        """Exactly these events, and a repeat of the command changes nothing. Answers the scenario after them."""
        assert list(self._decide(self._command, self._scenario.state)) == list(expected)
        after = self._scenario.given(*expected)
        if not type(self._command).__name__.startswith("Create"):
            assert list(self._decide(self._command, after.state)) == [], "a repeat of a done command did something"
        return after

    def then_nothing_happened(self) -> None:
        assert list(self._decide(self._command, self._scenario.state)) == []

    def then_refused(self, refusal: type[Exception], **attributes: Any) -> None:
        with pytest.raises(refusal) as refused:
            self._decide(self._command, self._scenario.state)
        assert type(refused.value) is refusal
        assert {name: getattr(refused.value, name) for name in attributes} == attributes
