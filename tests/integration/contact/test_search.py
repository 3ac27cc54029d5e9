"""The search box on real PostgreSQL: who is found by what people type, in every way a list finds its contacts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contacts.contact import events as e
from contacts.contact import listing
from contacts.errors import InvalidInput
from contacts.values import Country, Email, ExternalId, Phone
from tests.integration.contact.model import Log, Model, open_model

WORKSPACE: Final = UUID(int=1)
PEOPLE: Final[dict[str, dict[str, Any]]] = {
    "anna": {"first_name": "Anna", "last_name": "Müller", "email": "anna.mueller@example.com", "phone": "+4930901820"},
    "łucja": {
        "first_name": "Łucja",
        "last_name": "Wójcik-Nowak",
        "email": "lu@wójcik.example",
        "phone": "+48221234567",
    },
    "sean": {"first_name": "Seán", "last_name": "O’Brien", "email": "obrien+list@example.org", "external_id": "C-100%"},
    "ivan": {"first_name": "Иван", "last_name": "Ёлкин", "phone": "+79123456789", "external_id": "a_b"},
    "ming": {"first_name": "小明", "last_name": "李", "phone": "+8613812345678"},
    "jose": {"first_name": "José María", "last_name": "García", "email": "jm@garcia.example", "messaging_id": "msg\\1"},
    "anne": {"first_name": "ANNE", "external_id": "030-9018", "email": "a@b.example"},
    "pat": {"last_name": "Müller", "first_name": "Patrick", "phone": "+12125550123;ext=77"},
}
IDS: Final = {
    name: UUID(f"018bcfe5-68{number:02x}-7000-8000-00000000000{number}") for number, name in enumerate(PEOPLE)
}


@pytest.fixture(scope="module")
async def model(module_database: str) -> AsyncIterator[Model]:
    log = Log()
    parse = {"email": Email, "phone": Phone, "external_id": ExternalId, "messaging_id": ExternalId}
    async with open_model(module_database) as model:
        for name, fields in PEOPLE.items():
            parsed = {field: parse.get(field, str)(value) for field, value in fields.items()}
            log.record(WORKSPACE, IDS[name], e.ContactCreated(source="api", **parsed))
        await model.apply(log.events)
        yield model


async def found(model: Model, typed: str, region: str | None = "DE") -> set[str]:
    page = await model.queries.list(WORKSPACE, q=typed, region=Country(region) if region else None)
    names = {contact_id: name for name, contact_id in IDS.items()}
    return {names[contact.id] for contact in page.items}


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("anna", "anna"),
        ("ANN", "anna anne"),
        ("an", "anna anne"),
        ("müller", "anna pat"),
        ("MULLER anna", "anna"),
        ("muller  pat", "pat"),
        ("wojcik", "łucja"),
        ("lucja nowak", "łucja"),
        ("wójcik-n", "łucja"),
        ("o'brien", "sean"),
        ("OBrien", "sean"),
        ("seán obr", "sean"),
        ("иван", "ivan"),
        ("ЕЛКИН", "ivan"),
        ("李小明", "ming"),
        ("明", "ming"),
        ("maria garcia jose", "jose"),
        ("j m g", "jose"),
        ("anna.mueller@example.com", "anna"),
        ("@example.", "anna sean"),
        ("@wojcik.example", "łucja"),
        ("xn--wjcik-0ta", "łucja"),
        ("a@b.example", "anne"),
        ("brien+list", "sean"),
        ("c-100%", "sean"),
        ("c-1000", ""),
        ("100_", ""),
        ("a_b", "ivan"),
        ("axb", ""),
        ("msg\\1", "jose"),
        ("msg\\", "jose"),
        ("+4930901820", "anna"),
        ("+49 30 90 18 20", "anna"),
        ("0049 30/901820", "anna"),
        ("(030) 9018-20", "anna"),
        ("030 9018", "anna anne"),
        ("030", "anna anne"),
        ("901820", "anna"),
        ("22 123 45 67", "łucja"),
        ("123456", "łucja ivan ming"),
        ("müller 0901", "anna"),
        ("müller 0902", ""),
        ("müller 030 901", "anna"),
        ("77", "pat"),
        ("018bcfe5-6803-7000-8000-000000000003", "ivan"),
        ("018bcfe5680370008000000000000003", "ivan"),
        ("018BCFE5-6803", "ivan"),
        ("018bcfe5", " ".join(PEOPLE)),
        ("018bcfe5 müller", "anna pat"),
        ("018bcfe6", ""),
        ("  ", " ".join(PEOPLE)),
        ("%", " ".join(PEOPLE)),
        ("nobody", ""),
    ],
)
@pytest.mark.parametrize("way", ["gathered", "walked"])
async def test_contacts_are_found_by(
    model: Model, typed: str, expected: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "walked":
        monkeypatch.setattr(listing, "COUNT_MAX", 0)
    assert await found(model, typed) == set(expected.split())


@pytest.mark.parametrize(
    ("region", "typed", "expected"),
    [
        ("RU", "8 912 345-67-89", "ivan"),
        ("US", "(212) 555-0123", "pat"),
        ("US", "011 49 30 901820", "anna"),
        ("PL", "22 123", "łucja"),
        ("CN", "138 1234 5678", "ming"),
        (None, "030 901820", "anna"),
    ],
)
async def test_phones_are_found_as_they_are_dialled(model: Model, region: str, typed: str, expected: str) -> None:
    assert await found(model, typed, region) == set(expected.split())


async def test_a_change_of_name_is_found_and_the_old_one_is_not(model: Model) -> None:
    log, workspace_id, contact_id = Log(), uuid4(), uuid4()
    log.record(workspace_id, contact_id, e.ContactCreated(source="api", last_name="Before"))
    log.record(workspace_id, contact_id, e.ContactDetailsChanged(last_name="Åfter"))
    await model.apply(log.events)
    assert (await model.queries.list(workspace_id, q="before")).items == ()
    assert [contact.id for contact in (await model.queries.list(workspace_id, q="after")).items] == [contact_id]


async def test_the_deleted_are_searched_apart(model: Model) -> None:
    log, workspace_id, contact_id = Log(), uuid4(), uuid4()
    log.record(workspace_id, contact_id, e.ContactCreated(source="api", last_name="Gone"))
    log.record(workspace_id, contact_id, e.ContactDeleted(reason="asked"))
    await model.apply(log.events)
    assert (await model.queries.list(workspace_id, q="gone")).total.count == 0
    deleted = await model.queries.list(workspace_id, q="gone", deleted=True, sort="-deleted_at")
    assert [contact.id for contact in deleted.items] == [contact_id]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    typed=st.one_of(
        st.text(max_size=30),
        st.text(alphabet="+()-/. 0123456789abn%_\\'", max_size=20),
        st.lists(st.sampled_from(["anna", "030", "9018", "Mül", "+49", "(0)", "C-", "%", "018bcfe5"])).map(" ".join),
    )
)
async def test_whatever_is_typed_is_answered_or_refused_and_both_ways_agree(model: Model, typed: str) -> None:
    try:
        gathered = await found(model, typed)
    except InvalidInput:
        return
    counted, listing.COUNT_MAX = listing.COUNT_MAX, 0  # type: ignore[misc]
    try:
        assert await found(model, typed) == gathered
    finally:
        listing.COUNT_MAX = counted  # type: ignore[misc]


@pytest.mark.parametrize("name", ["иван", "müller", "رياض", "葉 月", "Ωμέγα"])
async def test_letters_of_every_script_are_in_the_index(database: str, name: str) -> None:
    """Without it whoever types one would be looked for among everybody."""
    connection = await asyncpg.connect(database)
    try:
        await connection.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
        known = await connection.fetchval("SELECT cardinality(show_trgm($1))", name)
    finally:
        await connection.close()
    assert known > len(name.split())
