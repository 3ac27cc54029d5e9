"""Why a search was refused."""

from __future__ import annotations

from contacts.errors import Refusal


class SearchTooSlow(Refusal):
    """The answer would take longer than is allowed."""

    def __init__(self, limit_s: float) -> None:
        super().__init__(f"the search took more than {limit_s:g} s; ask for less, or for no exact total")
        self.limit_s = limit_s
