"""Snapshots of a fold that was another are not read: whoever changes the fold raises their schema version."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from msgspec import inspect

from contacts.contact.handler import SNAPSHOT_SCHEMA, SNAPSHOTS
from contacts.contact.state import Contact, evolve, initial
from eventstore.envelope import Unreadable
from tests.unit.contact.examples import ANN
from tests.unit.contact.test_state import EXAMPLES
from tests.unit.scenario import AT

#: By schema version: what the fold made of the examples, and the fields of a state.
KNOWN = {4: "1527063479c786db"}
#: Fields that only answers have.
OF_ANSWERS = frozenset({"absorbed", "standing", "engagement"})


def shape(value: Any) -> Any:
    """Names and types of all fields, however deep."""
    match value:
        case inspect.StructType():
            fields = [field for field in value.fields if field.name not in OF_ANSWERS]
            return [value.cls.__name__, value.array_like, *((f.encode_name, shape(f.type)) for f in fields)]
        case inspect.Type():
            return [type(value).__name__, *(shape(getattr(value, name)) for name in value.__struct_fields__)]
        case tuple():
            return [shape(each) for each in value]
    return repr(value)


def folded() -> list[bytes]:
    """Every example twice, once after all others, and then as it looks where nothing can be read any more."""
    state, states = initial(ANN), []
    for event in (*EXAMPLES[:-1], *EXAMPLES[:-1], Unreadable(type="contact.tagged"), EXAMPLES[-1]):
        state = evolve(state, event, AT)
        states.append(SNAPSHOTS.encode(state))
    return states


def test_a_changed_fold_has_a_snapshot_schema_of_its_own() -> None:
    digest = sha256(repr((shape(inspect.type_info(Contact)), folded())).encode()).hexdigest()[:16]
    assert {SNAPSHOT_SCHEMA: digest} == KNOWN, "raise SNAPSHOT_SCHEMA by one, and put it with this digest here"
