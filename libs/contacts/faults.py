"""Collects what is wrong with one input, so that a caller learns everything at once. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from contacts.errors import InvalidField, InvalidInput, InvalidValue

T = TypeVar("T")


class Faults:
    """One per input; `raise_if_any` comes last."""

    def __init__(self) -> None:
        self._found: list[InvalidField] = []

    def add(self, pointer: str, error: InvalidValue) -> None:
        self._found.append(InvalidField(pointer, error.reason, error.expected))

    def add_all(self, invalid: InvalidInput) -> None:
        self._found.extend(invalid.errors)

    def parse(self, pointer: str, parser: Callable[[Any], T], value: object) -> T | None:
        """The parsed value, or None where it was refused."""
        try:
            return parser(value)
        except InvalidValue as error:
            self.add(pointer, error)
            return None

    def raise_if_any(self) -> None:
        """Raises InvalidInput."""
        if self._found:
            raise InvalidInput(self._found)
