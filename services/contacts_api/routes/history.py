"""What happened to a contact, entry by entry, straight from its events."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from contacts.contact import history
from contacts.errors import ContactNotFound
from contacts.workspace.permissions import Action
from contacts_api import examples
from contacts_api.answer import Answer, json_answer
from contacts_api.conventions import AsOf, Cursor, Limit, position_of
from contacts_api.decoding import Fault, Malformed
from contacts_api.endpoint import Endpoint, Nothing, Returns, endpoint
from contacts_api.request import Call
from contacts_api.routes.contacts import TAG, ContactPath
from contacts_api.views import HistoryPage, Total
from eventstore.envelope import parse_position


class HistoryQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which entries, in what order."""

    as_of: AsOf = None
    sort: Literal["-version", "version"] = "-version"
    limit: Limit = 50
    cursor: Cursor = None


@endpoint(
    "GET",
    "/v1/contacts/{contact_id}/history",
    action=Action.CONTACTS_HISTORY,
    tag=TAG,
    returns=Returns(200, "One page of changes", HistoryPage, ("Rollbook-Position",), examples.HISTORY),
    refuses=(ContactNotFound,),
)
async def read_history(call: Call[ContactPath, HistoryQuery, Nothing]) -> Answer:
    """What changed when, through whom and by which request.

    The newest comes first unless `sort=version`. A contact read `as_of` an entry's `position` shows that change. Custom
    attributes are told one by one, as `attributes.<key>`.
    """
    services, workspace_id = call.services, call.caller.workspace_id
    lane = services.store.lane_of(workspace_id)
    query = call.query
    moment = await services.store.head(lane) if query.as_of is None else await position_of(call, query.as_of)
    entries = await history.history(services.store, workspace_id, call.path.contact_id)
    entries = [entry for entry in entries if parse_position(entry.position)[1] <= moment]
    if not entries:
        raise ContactNotFound(call.path.contact_id)
    total = Total(len(entries), True)
    if query.sort == "-version":
        entries.reverse()
    start = 0 if query.cursor is None else _place_after(query.cursor, entries)
    page = entries[start : start + query.limit]
    more = str(page[-1].version) if start + query.limit < len(entries) else None
    answer = json_answer(200, HistoryPage(tuple(page), more, total))
    return answer.header(b"rollbook-position", f"{lane}.{moment}")


def _place_after(cursor: str, entries: list[history.HistoryEntry]) -> int:
    for place, entry in enumerate(entries, 1):
        if str(entry.version) == cursor:
            return place
    raise Malformed(Fault("is no next_cursor of this list", parameter="cursor"))


ENDPOINTS: Final[tuple[Endpoint, ...]] = (read_history,)
