"""Days and instants out of a JSON that nobody checked: which texts are any, said once for SQL and for Python. Pure."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Final

#: Shapes that both read as the same; case has been folded. What no calendar has is found out by trying.
DAY: Final = "^[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}$"
INSTANT: Final = (
    "^([1-8][0-9]{3}|9[0-8][0-9]{2}|99[0-8][0-9]|999[0-8])-[0-9]{2}-[0-9]{2}"
    "t([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]{1,6})?)?(z|[+-](0[0-9]|1[0-4]):[0-5][0-9])$"
)
_DAY: Final = re.compile(DAY)
_INSTANT: Final = re.compile(INSTANT)


def day_in(text: str) -> date | None:
    """None where it is none."""
    if _DAY.fullmatch(text) is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def instant_in(text: str) -> datetime | None:
    """In UTC; None where it is none, or says no offset."""
    if _INSTANT.fullmatch(text) is None:
        return None
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except ValueError:
        return None


def sql_of_day(text: str) -> str:
    """The same of an expression of text, as text: days are compared as such."""
    return f"CASE WHEN {text} ~ '{DAY}' AND pg_input_is_valid({text}, 'date') THEN {text} END"


def sql_of_instant(text: str) -> str:
    """The same, as a timestamptz."""
    return f"CASE WHEN {text} ~ '{INSTANT}' AND pg_input_is_valid({text}, 'timestamptz') THEN {text}::timestamptz END"
