"""Smart search: contacts by a nested filter, in any order, with totals, now or at a past moment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

import msgspec

from contacts.contact.filtering import EmailFilter, PhoneFilter, parse_filter
from contacts.contact.ordering import DEFAULT_SORT
from contacts.contact.queries import Past
from contacts.contact.search import QUERY_MAX
from contacts.contact.state import Contact
from contacts.errors import InvalidInput
from contacts.segment.filters import Parsed
from contacts.segment.queries import recorded_at
from contacts.smartsearch.dependencies import NOTHING_READ, Reads, reads
from contacts.smartsearch.fields import Schema
from contacts.smartsearch.moment import Moment
from contacts.smartsearch.refusals import SearchTooSlow
from contacts.smartsearch.searching import LIMIT_MAX, Page, Search
from contacts.workspace.permissions import Action
from contacts.workspace.state import Workspace
from contacts_api import search_examples as examples
from contacts_api.answer import Answer, json_answer
from contacts_api.conventions import MinPosition, past_of, shown_position
from contacts_api.decoding import Fault, Malformed
from contacts_api.endpoint import KIB, Endpoint, Nothing, Returns, endpoint
from contacts_api.request import Call
from contacts_api.routes.contacts import TAG
from contacts_api.services import ACTIVITY, CONTACT, ENGAGEMENT
from contacts_api.views import (
    CONTACT_FIELDS,
    ENGAGEMENT_FIELDS,
    ContactSelection,
    ContactView,
    Total,
    View,
    contact_view,
    selected,
)
from eventstore.envelope import parse_position

BODY_BYTES_MAX: Final = 256 * KIB
SORT_MAX: Final = 150


class SearchQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the answer must show at least."""

    min_position: MinPosition = None


class SearchInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which contacts, in what order, and how much of them. All that is given must hold."""

    filter: Annotated[
        dict[str, Any] | None,
        msgspec.Meta(
            description='`{"all": […]}`, `{"any": […]}`, `{"not": …}` and leaves, at most 32 deep and 500 in all.'
        ),
    ] = None
    q: Annotated[
        Annotated[str, msgspec.Meta(max_length=QUERY_MAX)] | None, msgspec.Meta(description="The search box.")
    ] = None
    email_status: EmailFilter | None = None
    phone_status: PhoneFilter | None = None
    deleted: Annotated[bool, msgspec.Meta(description="The deleted contacts instead of the present.")] = False
    sort: Annotated[
        str,
        msgspec.Meta(
            max_length=SORT_MAX,
            description="Any field with one value, custom attributes too; with `-` descending. Unset values come last.",
            extra_json_schema={"examples": ["-last_interaction_at", "attributes.score"]},
        ),
    ] = DEFAULT_SORT
    limit: Annotated[int, msgspec.Meta(ge=1, le=LIMIT_MAX)] = 50
    cursor: Annotated[str, msgspec.Meta(max_length=4_096)] | None = None
    fields: Annotated[
        Annotated[list[str], msgspec.Meta(max_length=100)] | None,
        msgspec.Meta(description="Answer only these fields.", examples=[["id", "email"]]),
    ] = None
    total: Annotated[
        Literal["auto", "exact", "none"],
        msgspec.Meta(description="`auto` is exact where that is cheap, else an estimate; `exact` counts everybody."),
    ] = "auto"
    as_of: Annotated[str | None, msgspec.Meta(description="A past moment: an instant (RFC 3339) or a position.")] = None


class SearchPage(View, frozen=True):
    """One page of what was found."""

    items: tuple[ContactView, ...]
    next_cursor: str | None
    #: Null where it was not asked for.
    total: Total | None


SearchSelectionPage: Final = msgspec.defstruct(
    "SearchSelectionPage",
    [("items", tuple[ContactSelection, ...]), ("next_cursor", str | None), ("total", Total | None)],  # type: ignore[valid-type]
    namespace={"__doc__": "One page of the fields asked for, of what was found."},
    module=__name__,
)


@endpoint(
    "POST",
    "/v1/contacts/search",
    action=Action.CONTACTS_READ,
    tag=TAG,
    takes=("Rollbook-Min-Position",),
    examples=examples.SEARCHES,
    body_bytes_max=BODY_BYTES_MAX,
    returns=Returns(
        200, "One page of contacts", (SearchPage, SearchSelectionPage), ("Rollbook-Position",), examples.PAGE
    ),
    refuses=(InvalidInput, SearchTooSlow),
)
async def search_contacts(call: Call[Nothing, SearchQuery, SearchInput]) -> Answer:
    """Find contacts by a nested filter.

    Leaves compare fields, custom attributes as `attributes.<key>`, ask for activity (`activity`, `where`, `within`,
    `count`), orders (`order`), segments and lists. A comparison with an unset value is false, `not` is the exact
    complement. Every page of one search takes the same moment for now.
    """
    body = call.body
    fields = _fields(body.fields)
    past = None if body.as_of is None else await past_of(call, body.as_of, ENGAGEMENT, ACTIVITY)
    page, position = await found(call, body, past, call.query.min_position)
    return (await page_answer(call, page, fields)).header(b"rollbook-position", position)


async def found(
    call: Call[Any, Any, Any], body: SearchInput, past: Past | None, min_position: str | None
) -> tuple[Page, str]:
    """One page, and the position it shows at least. Raises InvalidInput, SearchTooSlow."""
    services = call.services
    workspace = await services.workspaces.get(call.caller.workspace_id)
    moment = await _moment(call, past, workspace)
    parsed = None
    if body.filter is not None:
        parsed = await services.filters.parse(body.filter, workspace, position=moment.position)
    read = NOTHING_READ if parsed is None else reads(parsed.node, parsed.definitions)
    position = await _shown(call, moment, min_position, read, body.sort)
    page = await services.search_queries.page(
        workspace.id,
        _search(body, parsed, moment, workspace),
        limit=body.limit,
        cursor=body.cursor,
        total=body.total,
    )
    return page, position


def _search(body: SearchInput, parsed: Parsed | None, moment: Moment, workspace: Workspace) -> Search:
    region = workspace.settings.default_region
    wanted = parse_filter(
        q=body.q,
        email_status=body.email_status,
        phone_status=body.phone_status,
        deleted=body.deleted,
        region=region,
    )
    return Search(
        filter=wanted,
        node=None if parsed is None else parsed.node,
        sort=body.sort,
        moment=moment,
        schema=Schema(attributes=workspace.attributes, region=region),
        definitions={} if parsed is None else parsed.definitions,
        asked=msgspec.msgpack.encode([body.filter, wanted, body.as_of]),
    )


async def _moment(call: Call[Any, Any, Any], past: Past | None, workspace: Workspace) -> Moment:
    zone = workspace.settings.default_time_zone
    if past is None:
        return Moment(now=datetime.now(UTC), time_zone=zone)
    store = call.services.store
    try:
        parse_position(past.as_of)
    except ValueError:
        now = msgspec.convert(past.as_of, datetime).astimezone(UTC)
    else:
        now = await recorded_at(store, store.lane_of(workspace.id), past.position) or datetime.now(UTC)
    return Moment(now=now, time_zone=zone, position=past.position)


async def _shown(call: Call[Any, Any, Any], moment: Moment, min_position: str | None, read: Reads, sort: str) -> str:
    """The position of what is shown, once all read models that are looked into are where the caller wants them."""
    if moment.position is not None:
        call.min_position(min_position)
        return f"{call.services.store.lane_of(call.caller.workspace_id)}.{moment.position}"
    projections = [CONTACT]
    if read.engagement or sort.lstrip("-").startswith(("conversation.", "last_interaction_at", "email_rating")):
        projections.append(ENGAGEMENT)
    if read.kinds:
        projections.append(ACTIVITY)
    shown = [await shown_position(call, min_position, projection) for projection in projections]
    return min(shown, key=parse_position)


async def page_answer(call: Call[Any, Any, Any], page: Page, fields: frozenset[str] | None) -> Answer:
    contacts: Sequence[Contact] = page.items
    if fields is None or ENGAGEMENT_FIELDS & fields:
        contacts = await call.services.engagement_queries.with_engagement(
            call.caller.workspace_id, contacts, position=page.position
        )
    items: tuple[Any, ...] = tuple(selected(contact_view(contact), fields) for contact in contacts)
    total = None if page.total is None else Total(page.total.count, page.total.exact)
    return json_answer(200, SearchPage(items, page.next_cursor, total))


def _fields(names: list[str] | None) -> frozenset[str] | None:
    if not names:
        return None
    for n, name in enumerate(names):
        if name not in CONTACT_FIELDS:
            raise Malformed(Fault(f"is none of: {', '.join(CONTACT_FIELDS)}", pointer=f"/fields/{n}"))
    return frozenset(names)


ENDPOINTS: Final[tuple[Endpoint, ...]] = (search_contacts,)
