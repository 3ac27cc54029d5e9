"""The texts in the data of an activity as they are searched, where that is not how they are shown. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from contacts.folding import fold

PROPERTIES: Final = "properties"


def folded_texts(data: Mapping[str, Any]) -> dict[str, Any] | None:
    """Texts and lists of texts that folding changes, of the data and of its `properties`; None where there are none.

    What lies deeper cannot be searched.
    """
    found = _changed(data)
    properties = data.get(PROPERTIES)
    if isinstance(properties, Mapping) and (of_properties := _changed(properties)):
        found[PROPERTIES] = of_properties
    return found or None


def _changed(data: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, str):
            folded: Any = fold(value)
        elif isinstance(value, list) and value and all(isinstance(each, str) for each in value):
            folded = [fold(each) for each in value]
        else:
            continue
        if folded != value:
            found[key] = folded
    return found
