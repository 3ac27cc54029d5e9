"""What happened to a contact, where what it shows comes from, and what differs between two moments."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec

from contacts.audit.chronicle import Step
from contacts.errors import ContactIsErased, ContactNotFound
from contacts.workspace.permissions import Action
from contacts_api import audit_examples as examples
from contacts_api.answer import Answer, json_answer
from contacts_api.audit_views import DifferenceView, MomentView, ProvenanceView
from contacts_api.conventions import AsOf, Cursor, Limit, leads_to, position_of
from contacts_api.decoding import Fault, Malformed
from contacts_api.endpoint import Endpoint, Nothing, Returns, endpoint
from contacts_api.request import Call
from contacts_api.routes.contacts import TAG, ContactPath
from contacts_api.views import HistoryPage, Total

Moment = Annotated[
    str,
    msgspec.Meta(
        description="An instant (RFC 3339) or a position.",
        extra_json_schema={"examples": ["2026-11-22T09:30:00Z", "0.1"]},
    ),
]


class HistoryQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which entries, in what order."""

    as_of: AsOf = None
    sort: Literal["-version", "version"] = "-version"
    limit: Limit = 50
    cursor: Cursor = None


class ProvenanceQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of which state."""

    as_of: AsOf = None


class DiffQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which two moments; the second is now where none is given."""

    from_: Moment = msgspec.field(name="from")
    to: AsOf = None


@endpoint(
    "GET",
    "/v1/contacts/{contact_id}/history",
    action=Action.CONTACTS_HISTORY,
    tag=TAG,
    returns=Returns(
        200, "One page of what happened", HistoryPage, ("Rollbook-Position", "Content-Location"), examples.HISTORY
    ),
    refuses=(ContactNotFound,),
)
async def read_history(call: Call[ContactPath, HistoryQuery, Nothing]) -> Answer:
    """What happened when, through whom, how and why: in a `sentence` to be read, and field by field.

    The newest comes first unless `sort=version`. A contact read `as_of` an entry's `position` shows that change. Custom
    attributes are told one by one, as `attributes.<key>`. What was said about the contact's addresses is part of it,
    and so is the earlier history of contacts that were merged (`before_merge`, with the `merge` that brought them). Of
    an erased contact the entries say that something happened, and not what.
    """
    position, moment = await _moment(call, call.query.as_of)
    services, workspace_id, contact_id = call.services, call.caller.workspace_id, call.path.contact_id
    page = _Page(call.query)
    entries, shown = await services.audits.history(workspace_id, contact_id, moment, choose=page.choose)
    answer = json_answer(200, HistoryPage(tuple(entries), page.next_cursor, Total(page.total, True)))
    leads_to(answer, contact_id, shown)
    return answer.header(b"rollbook-position", position)


@endpoint(
    "GET",
    "/v1/contacts/{contact_id}/provenance",
    action=Action.CONTACTS_HISTORY,
    tag=TAG,
    returns=Returns(
        200,
        "Every field with its origin",
        ProvenanceView,
        ("Rollbook-Position", "Content-Location"),
        examples.PROVENANCE,
    ),
    refuses=(ContactNotFound, ContactIsErased),
)
async def read_provenance(call: Call[ContactPath, ProvenanceQuery, Nothing]) -> Answer:
    """For every field: the event that set what is shown, through whom and when, and all earlier values with theirs.

    Tags, lists, categories and channels are told one by one (`element`), consents and statuses of the addresses as
    fields. In a merged profile `contact` is the one that says so itself and `merge` what brought it; what merged
    contacts say that is not shown stands among the earlier values. Fields that never had a value are left out.
    """
    position, moment = await _moment(call, call.query.as_of)
    fields, past = await call.services.audits.provenance(call.caller.workspace_id, call.path.contact_id, moment)
    answer = json_answer(200, ProvenanceView(past.shown.id, past.shown.version, tuple(fields)))
    leads_to(answer, call.path.contact_id, past.shown.id)
    return answer.header(b"rollbook-position", position)


@endpoint(
    "GET",
    "/v1/contacts/{contact_id}/diff",
    action=Action.CONTACTS_HISTORY,
    tag=TAG,
    returns=Returns(200, "Every field that differs", DifferenceView, ("Rollbook-Position",), examples.DIFFERENCE),
    refuses=(ContactNotFound, ContactIsErased),
)
async def read_difference(call: Call[ContactPath, DiffQuery, Nothing]) -> Answer:
    """What differs between two moments, before and after, and the events in between that made it so.

    A moment is an instant or a position; what happened exactly then belongs to it. Merges are followed: where the
    contact was part of another one, what that one showed is compared. A contact that did not exist yet at the first
    moment is compared with nothing.
    """
    position, upto = await _moment(call, call.query.to, "to")
    after = await position_of(call, call.query.from_, "from")
    if after > upto:
        raise Malformed(Fault("is later than the moment in `to`", parameter="from"))
    audits, workspace_id, contact_id = call.services.audits, call.caller.workspace_id, call.path.contact_id
    found = await audits.diff(workspace_id, contact_id, after=after, upto=upto)
    lane = call.services.store.lane_of(workspace_id)
    view = DifferenceView(
        before=MomentView(f"{lane}.{after}", found.contact_before, found.version_before),
        after=MomentView(position, found.contact_after, found.version_after),
        fields=found.fields,
    )
    return json_answer(200, view).header(b"rollbook-position", position)


async def _moment(call: Call[Any, Any, Any], as_of: str | None, parameter: str = "as_of") -> tuple[str, int]:
    """The moment as token and as position; now where none is given."""
    store = call.services.store
    lane = store.lane_of(call.caller.workspace_id)
    position = await store.head(lane) if as_of is None else await position_of(call, as_of, parameter)
    return f"{lane}.{position}", position


class _Page:
    """The page that was asked for, how many steps there are in all, and where the next page begins."""

    def __init__(self, query: HistoryQuery) -> None:
        self._query = query
        self.total = 0
        self.next_cursor: str | None = None

    def choose(self, steps: list[Step]) -> list[Step]:
        """Takes them oldest first. Raises Malformed for a cursor that is none of theirs."""
        self.total = len(steps)
        if self._query.sort == "-version":
            steps = steps[::-1]
        start = 0 if self._query.cursor is None else _place_after(self._query.cursor, steps)
        page = steps[start : start + self._query.limit]
        if start + len(page) < self.total:
            self.next_cursor = _token(page[-1])
        return page


def _place_after(cursor: str, steps: list[Step]) -> int:
    for place, step in enumerate(steps, 1):
        if _token(step) == cursor:
            return place
    raise Malformed(Fault("is no next_cursor of this list", parameter="cursor"))


def _token(step: Step) -> str:
    return f"{step.recorded.lane}.{step.recorded.position}"


ENDPOINTS: Final[tuple[Endpoint, ...]] = (read_history, read_provenance, read_difference)
