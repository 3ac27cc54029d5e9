"""A contact and a workspace that tests start from, so that each shows only what matters to it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from contacts.attributes import AttributeDefinition
from contacts.contact import commands as c
from contacts.contact import events as e
from contacts.contact.decider import Contact, decide, evolve, initial
from contacts.values import Country
from contacts.workspace.state import Settings, Workspace
from tests.unit.scenario import Scenario

WORKSPACE_ID = UUID("01900000-0000-7000-8000-000000000001")
ANN = UUID("01900000-0000-7000-8000-00000000000a")
BEN = UUID("01900000-0000-7000-8000-00000000000b")
MERGE = UUID("01900000-0000-7000-8000-0000000000e1")
NEWS = UUID("01900000-0000-7000-8000-0000000000f1")
OFFERS = UUID("01900000-0000-7000-8000-0000000000f2")

CREATED = e.ContactCreated(source="api", first_name="Ann", email="ann@example.com")  # type: ignore[arg-type]


def nobody() -> Scenario[Contact]:
    return Scenario(initial(ANN), decide, evolve)


def ann(*events: Any) -> Scenario[Contact]:
    return nobody().given(CREATED, *events)


def of_ann(command: type, **fields: Any) -> Any:
    return command(workspace_id=WORKSPACE_ID, contact_id=ANN, **fields)


def edit(**details: Any) -> c.EditContact:
    return c.EditContact(workspace_id=WORKSPACE_ID, contact_id=ANN, details=c.Details(**details))


def create(source: str = "api", **fields: Any) -> c.CreateContact:
    extra = {name: fields.pop(name) for name in list(fields) if name in c.CreateContact.__struct_fields__}
    return c.CreateContact(
        workspace_id=WORKSPACE_ID, contact_id=ANN, source=source, details=c.Details(**fields), **extra
    )


def workspace(*definitions: AttributeDefinition, **settings: Any) -> Workspace:
    settings = {"default_region": Country("DE"), **settings}
    return Workspace(
        id=WORKSPACE_ID,
        version=1,
        settings=Settings(**settings),
        attributes={definition.key: definition for definition in definitions},
    )
