"""Why something about duplicates was refused."""

from __future__ import annotations

from contacts.errors import Refusal


class DuplicateNotFound(Refusal):
    """There is no such group or pair, or no longer."""

    def __init__(self, by: str) -> None:
        super().__init__(f"no contacts are duplicates of one another by this {_NAMED[by]}")
        self.by = by


class UnexpectedCount(Refusal):
    """Something else would be done than the caller thinks."""

    def __init__(self, expected: int, actual: int) -> None:
        super().__init__(f"{actual} contacts would be deleted, not the {expected} expected; nothing was done")
        self.expected = expected
        self.actual = actual


_NAMED = {"email": "e-mail", "phone": "phone", "likely": "pair"}
