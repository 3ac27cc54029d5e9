"""What many routes share beyond decoding: positions, moments, field lists, pages, answers to commands."""

from __future__ import annotations

import base64
import binascii
import contextlib
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias, TypeVar
from uuid import UUID

import msgspec

from contacts.contact.queries import Past
from contacts.contact.standings import limited
from contacts_api.answer import Answer, json_answer
from contacts_api.decoding import Fault, Malformed
from contacts_api.services import CONTACT, ENGAGEMENT, HISTORY
from contacts_api.views import CONTACT_FIELDS, Total, contact_view
from eventstore.envelope import parse_position
from eventstore.errors import PositionTimeout
from eventstore.store import POSITION_MAX

if TYPE_CHECKING:
    from contacts.contact.commands import ContactCommand
    from contacts.contact.handler import Outcome
    from contacts.contact.state import Contact
    from contacts.workspace.handler import Outcome as WorkspaceOutcome
    from contacts.workspace.state import Workspace
    from contacts_api.request import Call

T = TypeVar("T")
LIMIT_MAX: Final = 1_000

_FIELD_NAMES: Final = "|".join(CONTACT_FIELDS)
MinPosition: TypeAlias = Annotated[
    str | None,
    msgspec.Meta(
        description="As the header `Rollbook-Min-Position`; of both the later counts.",
        extra_json_schema={"pattern": r"^[0-9]{1,5}\.[0-9]{1,18}$", "examples": ["0.1"]},
    ),
]
AsOf: TypeAlias = Annotated[
    str | None,
    msgspec.Meta(
        description="A past moment: an instant (RFC 3339) or a position.",
        extra_json_schema={"examples": ["2026-11-22T09:30:00Z", "0.1"]},
    ),
]
Fields: TypeAlias = Annotated[
    str | None,
    msgspec.Meta(
        description="Answer only these fields, separated by commas.",
        extra_json_schema={"pattern": f"^({_FIELD_NAMES})(,({_FIELD_NAMES}))*$", "examples": ["id,email,tags"]},
    ),
]
Limit: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=LIMIT_MAX, description="Items of one page at most.")]
Cursor: TypeAlias = Annotated[
    Annotated[str, msgspec.Meta(max_length=4_096)] | None, msgspec.Meta(description="`next_cursor` of the page before.")
]


async def changed(call: Call[Any, Any, Any], command: ContactCommand) -> Answer:
    """Runs a command on a contact that exists and answers with the contact. Raises what the command is refused for."""
    return await contact_answer(call, 200, await call.services.contact_handler.execute(command, **call.command()))


async def contact_answer(
    call: Call[Any, Any, Any], status: int, outcome: Outcome, *, view: Callable[[Contact], object] = contact_view
) -> Answer:
    """The contact right after a command, with its version and its position; a replay as it was then."""
    contact = await call.services.standings.with_standing(
        call.caller.workspace_id,
        outcome.contact,
        position=outcome.appended.last_position if outcome.replayed else POSITION_MAX,
    )
    if not outcome.created:
        # What activity said after the command is no part of its answer, so that a replay shows the same.
        position = outcome.appended.last_position
        queries = call.services.engagement_queries
        (contact,) = await queries.with_engagement(call.caller.workspace_id, [contact], position=position)
    answer = json_answer(status, view(await _with_limit(call, outcome, contact)))
    answer.header(b"etag", etag(outcome.version))
    leads_to(answer, getattr(call.path, "contact_id", None), outcome.contact_id)
    return answer.header(b"rollbook-position", outcome.appended.token)


async def _with_limit(call: Call[Any, Any, Any], outcome: Outcome, contact: Contact) -> Contact:
    """Whether the plan has room for it is known to the read model alone, which is waited for where there is a limit."""
    services, workspace_id = call.services, call.caller.workspace_id
    if (await services.workspaces.get(workspace_id)).settings.contact_limit is None:
        return contact
    appended = outcome.appended
    # The command is done either way, so a read model that is late must not make it look as if it were not.
    with contextlib.suppress(PositionTimeout):
        await services.progress.wait(CONTACT, appended.lane, appended.last_position, services.settings.position_wait_s)
    over = await services.contact_queries.over_limit(workspace_id, [contact.id])
    return limited(contact, over_limit=contact.id in over)


def leads_to(answer: Answer, asked: UUID | None, answered: UUID) -> None:
    """Says where the contact is to be found that stands for the one asked for."""
    if asked is not None and asked != answered:
        answer.header(b"content-location", f"/v1/contacts/{answered}")


def workspace_answer(status: int, view: object, outcome: WorkspaceOutcome) -> Answer:
    """Some part of the workspace right after a command, with the position of the command."""
    return json_answer(status, view).header(b"rollbook-position", outcome.appended.token)


def etag(version: int) -> str:
    return f'"{version}"'


async def shown_position(call: Call[Any, Any, Any], parameter: str | None, *projections: str) -> str:
    """Waits for the position the caller wants to see and returns the one that all the read models show at least.

    Without `projections` those that contacts are shown from are meant.

    Raises:
        Malformed: no such position was ever given out.
        PositionTimeout: a read model did not get there in time.
    """
    projections = projections or (CONTACT, ENGAGEMENT)
    services = call.services
    lane = services.store.lane_of(call.caller.workspace_id)
    wanted = call.min_position(parameter)
    if wanted is not None:
        if wanted[0] != lane:
            raise _no_position("min_position")
        behind = [each for each in projections if services.progress.reached(each, lane) < wanted[1]]
        if behind and wanted[1] > await services.store.head(lane):
            raise _no_position("min_position")
        for projection in behind:
            await services.progress.wait(projection, lane, wanted[1], services.settings.position_wait_s)
    return f"{lane}.{min(services.progress.reached(each, lane) for each in projections)}"


async def position_of(call: Call[Any, Any, Any], as_of: str, parameter: str = "as_of") -> int:
    """The last position at or before a moment given as instant or position. Raises Malformed."""
    store = call.services.store
    lane = store.lane_of(call.caller.workspace_id)
    try:
        of_lane, position = parse_position(as_of)
    except ValueError:
        return await store.position_at(lane, _instant(as_of, parameter))
    if of_lane != lane:
        raise _no_position(parameter)
    return position


async def past_of(call: Call[Any, Any, Any], as_of: str, *projections: str) -> Past:
    """The moment, once the read models that know of the past are there; `projections` are others than the history.

    Raises:
        Malformed: no moment, or one that is still to come.
        PositionTimeout: a read model did not get there in time.
    """
    services = call.services
    lane = services.store.lane_of(call.caller.workspace_id)
    position = await position_of(call, as_of)
    if position > await services.store.head(lane) or _is_to_come(as_of):
        raise Malformed(Fault("lies in the future: takes a moment that has been", parameter="as_of"))
    for projection in (HISTORY, *projections):
        await services.progress.wait(projection, lane, position, services.settings.position_wait_s)
    return Past(as_of, position)


def _is_to_come(as_of: str) -> bool:
    try:
        parse_position(as_of)
    except ValueError:
        return _instant(as_of, "as_of") > datetime.now(UTC)
    return False


def _no_position(parameter: str) -> Malformed:
    return Malformed(Fault("is no position of this workspace's log", parameter=parameter))


def _instant(text: str, parameter: str) -> datetime:
    expected = "takes an instant with its offset, like 2026-11-22T09:30:00Z (a + is sent as %2B), or a position"
    try:
        instant = msgspec.convert(text, datetime)
        # PostgreSQL takes no year before 1 or after 9999, in UTC.
        instant.astimezone(tz=None).utctimetuple()
    except (msgspec.ValidationError, OverflowError, ValueError, OSError):
        raise Malformed(Fault(expected, parameter=parameter)) from None
    if instant.tzinfo is None:
        raise Malformed(Fault(expected, parameter=parameter))
    return instant


def selected_fields(text: str | None) -> frozenset[str] | None:
    """The fields named; None for all. Raises Malformed."""
    if text is None:
        return None
    fields = frozenset(text.split(","))
    if not fields <= CONTACT_FIELDS.keys():
        raise Malformed(Fault(f"takes names separated by commas, of: {', '.join(CONTACT_FIELDS)}", parameter="fields"))
    return fields


async def present_workspace(call: Call[Any, Any, Any]) -> Workspace:
    """The caller's workspace, at most a second old; read anew where the caller names a position. Raises Malformed."""
    workspace_id = call.caller.workspace_id
    if call.min_position(None) is not None:
        call.services.workspaces.forget(workspace_id)
    return await call.services.workspaces.get(workspace_id)


def page_by_key(
    items: Iterable[T], key: Callable[[T], str], limit: int, cursor: str | None
) -> tuple[tuple[T, ...], str | None, Total]:
    """One page of what is held in memory, in order of `key`. Raises Malformed for a cursor that is none of ours."""
    ordered = sorted(items, key=key)
    after = None if cursor is None else _decoded(cursor)
    rest = ordered if after is None else [item for item in ordered if key(item) > after]
    page = tuple(rest[:limit])
    return page, _encoded(key(page[-1])) if len(rest) > limit else None, Total(len(ordered), True)


def _encoded(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def _decoded(cursor: str) -> str:
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise Malformed(Fault("is no next_cursor of this list", parameter="cursor")) from None
