"""Lists, counts and look-ups of the contact read model on real PostgreSQL. The walls are in `test_walls`."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, get_args
from uuid import UUID, uuid4

import pytest

from contacts.contact import events as e
from contacts.contact import listing
from contacts.contact.ordering import SortField
from contacts.contact.queries import LIMIT_MAX
from contacts.contact.state import Contact
from contacts.engagement.projection import EngagementProjection
from contacts.errors import ContactNotFound, InvalidInput
from contacts.values import Email, ExternalId
from eventstore import builds
from tests.integration.activity.model import Log as ActivityLog
from tests.integration.contact.model import START, Log, Model, contacts_of, open_model
from tests.integration.contact.sixty import CONTACTS, OTHER, WORKSPACE, created, history, listed, pages
from tests.integration.engagement.histories import activity

SORTS: Final = [sign + field for field in get_args(SortField) for sign in ("", "-")]

#: How many matches are gathered and how far is walked: as it is, and so small that every way of finding is taken.
WAYS: Final = {
    "gathered": (10_000, 100_000, 200_000), "walked": (3, 100_000, 200_000), "walked in vain": (3, 5, 200_000),
    "walked at once": (10_000, 100_000, 0),
}  # fmt: skip


@pytest.fixture(scope="module")
async def model(module_database: str) -> AsyncIterator[Model]:
    """With sixty contacts in one workspace, a fifth of them deleted, and some in another."""
    async with open_model(module_database) as model:
        log = history(WORKSPACE)
        await model.apply(log.events)
        strangers = contacts_of(event for event in log.events if event.workspace_id == OTHER)
        await engage(model, [each for each in contacts_of(log.events) if each not in strangers])
        yield model


async def engage(model: Model, contacts: Sequence[UUID]) -> None:
    """Four of five read an e-mail some minutes after noon, of as many that they got."""
    log = ActivityLog()
    for contact_id in contacts:
        minutes = contact_id.int % 5
        if minutes:
            at = START + timedelta(minutes=minutes)
            log.record(WORKSPACE, contact_id, activity("message.read", at, channel="email"))
        log.record(WORKSPACE, contact_id, *(activity("message.sent", START, channel="sms") for _ in range(minutes)))
        log.record(WORKSPACE, contact_id, *(activity("message.sent", START, channel="email") for _ in range(minutes)))
    async with model.projector.transaction():
        await builds.use_schema(model.projector, "rm_engagement")
        await EngagementProjection().apply(model.projector, log.events, fresh=True)


@pytest.fixture
def own() -> UUID:
    """A workspace of this test's own."""
    return uuid4()


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same answers, found the other way."""
    count_max, walk_max, many_from = WAYS[request.param]
    monkeypatch.setattr(listing, "COUNT_MAX", count_max)
    monkeypatch.setattr(listing, "WALK_MAX", walk_max)
    monkeypatch.setattr(listing, "MANY_FROM", many_from)
    monkeypatch.setattr(listing, "MANY_MIN", -1)
    return str(request.param)


# -- order and paging -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deleted", [False, True], ids=["present", "deleted"])
@pytest.mark.parametrize("sort", SORTS)
async def test_pages_hold_every_contact_once_and_in_order(model: Model, sort: str, deleted: bool, way: str) -> None:
    if sort.endswith("deleted_at") and not deleted:
        with pytest.raises(InvalidInput):
            await model.queries.list(WORKSPACE, sort=sort)
        return
    for q, limit in ((None, 7), ("meyer", 4), ("user", 100), (None, LIMIT_MAX), ("c-000", 1)):
        contacts = await listed(model, q=q, sort=sort, deleted=deleted, limit=limit)
        everything = await listed(model, deleted=deleted, limit=LIMIT_MAX)
        wanted = [contact for contact in everything if q is None or q in searched(contact)]
        assert [contact.id for contact in contacts] == [contact.id for contact in in_order(wanted, sort)]


def searched(contact: Contact) -> str:
    return " ".join(str(text).lower() for text in (contact.full_name, contact.email, contact.external_id))


def in_order(contacts: Sequence[Contact], sort: str) -> list[Contact]:
    """Unset values last in both directions, the id breaks ties."""
    key, backwards = SORT_KEYS[sort.removeprefix("-")], sort.startswith("-")
    having = sorted(contacts, key=lambda contact: (key(contact) or "", contact.id), reverse=backwards)
    return [c for c in having if key(c) is not None] + [c for c in having if key(c) is None]


def plain(name: str | None) -> str:
    return (name or "").lower().translate(str.maketrans("łëöøåą", "leooaa"))


def names(*parts: str | None, by: str) -> str | None:
    return by.join(plain(part) for part in parts if part) or None


SORT_KEYS: Final[dict[str, Any]] = {
    "created_at": lambda contact: contact.created_at,
    "changed_at": lambda contact: contact.changed_at,
    "deleted_at": lambda contact: contact.deleted_at,
    "full_name": lambda contact: names(contact.first_name, contact.last_name, by=" "),
    "last_name": lambda contact: names(contact.last_name, contact.first_name, by="\t"),
    "email": lambda contact: contact.email,
    "external_id": lambda contact: contact.external_id,
    "last_interaction_at": lambda contact: str(contact.id.int % 5).strip("0") or None,
    # One of so many was read: the fewer, the better.
    "email_rating": lambda contact: str(5 - contact.id.int % 5).strip("5") or None,
}


@pytest.mark.parametrize("q", [None, "example"])
@pytest.mark.parametrize("sort", ["created_at", "-created_at", "full_name", "-email", "-changed_at"])
async def test_no_contact_is_missed_or_shown_twice_while_others_are_written(
    model: Model, own: UUID, sort: str, q: str | None, way: str
) -> None:
    chance = random.Random(5)
    log = history(own)
    await model.apply(log.events)
    lasting = {contact.id for contact in await listed(model, workspace_id=own, q=q, limit=LIMIT_MAX)}
    shown: list[UUID] = []
    cursor = None
    while True:
        page = await model.queries.list(own, q=q, sort=sort, limit=7, cursor=cursor)
        shown += [contact.id for contact in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
        written = log.record(own, uuid4(), created(chance, chance.randrange(10_000)))
        written += log.record(own, written[0].stream_id, e.ContactBlocked())
        passed = chance.choice([contact_id for contact_id in shown if contact_id in lasting])
        lasting.discard(passed)
        written += log.record(own, passed, e.ContactDeleted(reason="passed"))
        await model.apply(written)
    assert len(shown) == len(set(shown))
    assert lasting <= set(shown)


async def test_a_page_can_begin_after_a_contact_that_is_gone(model: Model, own: UUID) -> None:
    log = history(own)
    await model.apply(log.events)
    first = await model.queries.list(own, sort="full_name", limit=10)
    rest = await model.queries.list(own, sort="full_name", limit=10, cursor=first.next_cursor)
    await model.apply(log.record(own, first.items[-1].id, e.ContactDeleted(reason="gone")))

    again = await model.queries.list(own, sort="full_name", limit=10, cursor=first.next_cursor)

    assert [contact.id for contact in again.items] == [contact.id for contact in rest.items]


@pytest.mark.parametrize(
    "query",
    [
        {"sort": "full_name"},
        {"q": "anna"},
        {"q": "ann"},
        {"deleted": True},
        {"email_status": "all"},
        {"phone_status": "active"},
        {"workspace_id": OTHER},
    ],
    ids=str,
)
async def test_a_cursor_is_good_for_its_own_list_only(model: Model, query: dict[str, Any]) -> None:
    page = await model.queries.list(WORKSPACE, limit=3)
    query = {"workspace_id": WORKSPACE, "limit": 3, **query}
    with pytest.raises(InvalidInput):
        await model.queries.list(**query, cursor=page.next_cursor)


@pytest.mark.parametrize("cursor", ["", "x", "é", "AAAA", "a" * 200, "../../etc", "\0"])
async def test_a_cursor_that_was_never_given_out_is_refused(model: Model, cursor: str) -> None:
    with pytest.raises(InvalidInput):
        await model.queries.list(WORKSPACE, cursor=cursor)


async def test_a_cursor_altered_in_any_place_is_refused_and_says_nothing_about_the_contact(model: Model) -> None:
    page = await model.queries.list(WORKSPACE, sort="email", limit=3)
    cursor = page.next_cursor or ""
    for at in range(0, len(cursor), 7):
        altered = cursor[:at] + ("A" if cursor[at] != "A" else "B") + cursor[at + 1 :]
        with pytest.raises(InvalidInput):
            await model.queries.list(WORKSPACE, sort="email", limit=3, cursor=altered)
    assert "user" not in cursor


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"sort": "secret"}, "/sort"),
        ({"sort": "--created_at"}, "/sort"),
        ({"sort": ""}, "/sort"),
        ({"limit": 0}, "/limit"),
        ({"limit": LIMIT_MAX + 1}, "/limit"),
        ({"email_status": "bounced"}, "/email_status"),
        ({"phone_status": "unsubscribed"}, "/phone_status"),
        ({"q": "a\0b"}, "/q"),
        ({"q": "x" * 1_000}, "/q"),
    ],
)
async def test_what_cannot_be_listed_is_refused_by_name(model: Model, query: dict[str, Any], pointer: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        await model.queries.list(WORKSPACE, **query)
    assert [error.pointer for error in refused.value.errors] == [pointer]


# -- counts and statuses ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deleted", [False, True])
async def test_totals_and_counts_are_those_of_the_lists(model: Model, deleted: bool) -> None:
    counts = await model.queries.counts(WORKSPACE, deleted=deleted)
    everything = await listed(model, deleted=deleted)
    assert counts.total == len(everything)
    assert counts.email == {name: sum(c.email is not None for c in everything) for name in ("all", "active")}
    assert counts.phone == {name: sum(c.phone is not None for c in everything) for name in ("all", "active")}
    for field in ("email_status", "phone_status"):
        page = await model.queries.list(WORKSPACE, **{field: "active"}, deleted=deleted, limit=1)  # type: ignore[arg-type]
        assert (page.total.count, page.total.exact) == (getattr(counts, field[:5])["active"], True)


async def test_status_filters_combine(model: Model, way: str) -> None:
    everything = await listed(model)
    both = await listed(model, email_status="active", phone_status="all", limit=5)
    assert {c.id for c in both} == {c.id for c in everything if c.email and c.phone}
    assert await listed(model, email_status="blacklisted") == []
    found = await listed(model, email_status="all", q="meyer", limit=3)
    assert {c.id for c in found} == {c.id for c in everything if c.email and "meyer" in searched(c)}


async def test_the_total_of_a_search_is_exact_or_says_that_it_is_not(model: Model, way: str) -> None:
    matches = len([c for c in await listed(model) if "meyer" in searched(c)])
    found = await pages(model, q="meyer", limit=5)
    totals = {page.total for page in found}
    assert len(totals) == 1
    (total,) = totals
    if way == "walked at once":
        assert not total.exact
    elif way == "walked":
        assert not total.exact
        assert listing.COUNT_MAX < total.count <= CONTACTS
    else:
        assert (total.count, total.exact) == (matches, True)


# -- one contact ------------------------------------------------------------------------------------------------------


async def test_a_contact_is_read_as_it_was_folded(model: Model, own: UUID) -> None:
    log = Log()
    contact_id = uuid4()
    details = {"plan": "Größe XL", "score": 1.5, "picks": ("A", "b"), "vip": True}
    log.record(own, contact_id, created_with(details), e.ContactDeleted(reason="asked"))
    await model.apply(log.events)

    contact = await model.queries.get(own, contact_id)

    assert (contact.id, contact.version, contact.attributes) == (contact_id, 2, details)
    assert contact.address == e.Address(city="Köln")
    assert contact.channels[0].kind == "telegram"
    assert isinstance(contact.deleted_at, datetime)
    assert await model.queries.get_many(own, [contact_id, uuid4()]) == {contact_id: contact}


def created_with(attributes: dict[str, Any]) -> e.ContactCreated:
    return e.ContactCreated(
        source="api",
        first_name="Jörg",
        email=Email("Jörg@Bücher.example"),
        attributes=attributes,
        address=e.Address(city="Köln"),
        channels=(e.ChannelIdentity(kind="telegram", token="1"),),
    )


async def test_what_is_not_there_is_not_found(model: Model) -> None:
    with pytest.raises(ContactNotFound):
        await model.queries.get(WORKSPACE, uuid4())


async def test_contacts_are_found_by_what_they_are_known_by_oldest_first(model: Model, own: UUID) -> None:
    log = Log()
    older, younger, gone, keyed = (uuid4() for _ in range(4))
    for contact_id in (older, gone, younger):
        log.record(own, contact_id, e.ContactCreated(source="api", email=Email("Ann@Example.com")))
    log.record(own, gone, e.ContactDeleted(reason="gone"))
    log.record(own, keyed, e.ContactCreated(source="api", external_id=ExternalId("K"), messaging_id=ExternalId("M")))
    await model.apply(log.events)

    assert await model.queries.find_by(own, "email", "ann@example.com") == [older, younger]
    assert await model.queries.find_by(own, "external_id", "K") == [keyed]
    assert await model.queries.find_by(own, "external_id", "k") == []
    assert await model.queries.find_by(own, "messaging_id", "M") == [keyed]
    assert await model.queries.find_by(OTHER, "email", "ann@example.com") == []
