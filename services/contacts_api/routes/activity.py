"""Activity: many inbound events at once, and the timeline of a contact."""

from __future__ import annotations

import zlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal
from uuid import UUID

import msgspec

from contacts.activity.input import ActivityInput, record_activity
from contacts.activity.kinds import Category
from contacts.activity.queries import LIMIT_MAX, Timeline
from contacts.contact.state import CATEGORY as CONTACT
from contacts.errors import ContactIsErased, ContactNotFound, IdempotencyKeyReused, InvalidInput, InvalidValue, Refusal
from contacts.values import parse_instant
from contacts.workspace.permissions import Action
from contacts_api import examples
from contacts_api.activity_views import ActivityPage, ActivityReportView, activity_view, report_view
from contacts_api.answer import Answer, encode_json, json_answer
from contacts_api.conventions import Cursor, MinPosition, shown_position
from contacts_api.decoding import Fault, Malformed
from contacts_api.endpoint import KIB, Endpoint, Nothing, Returns, endpoint
from contacts_api.errors import MALFORMED, Rejected
from contacts_api.metrics import ACTIVITY
from contacts_api.request import Call
from contacts_api.routes.contacts import ContactPath
from contacts_api.views import Total
from eventstore.envelope import Metadata, Stream, Write
from eventstore.errors import DuplicateAppend

if TYPE_CHECKING:
    from contacts.activity.commands import RecordActivity
    from contacts.contact.state import Contact
    from contacts.execution import Met
    from contacts.workspace.state import Workspace

TAG: Final = "Activity"
ITEMS_MAX: Final = 1_000
#: Room for ITEMS_MAX of a good size, in bytes.
BATCH_BYTES_MAX: Final = 4_096 * KIB
#: The read model that answers about activity.
ACTIVITY_MODEL: Final = "activity"


class ActivityBatchInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Things that happened, of any contacts and in any order."""

    items: Annotated[list[ActivityInput], msgspec.Meta(min_length=1, max_length=ITEMS_MAX)]


_Since = Annotated[
    str | None,
    msgspec.Meta(
        description="Only what happened at or after this instant (RFC 3339). Orders are always shown whole.",
        extra_json_schema={"examples": ["2026-11-01T00:00:00Z"]},
    ),
]
_Until = Annotated[
    str | None,
    msgspec.Meta(
        description="Only what happened before this instant (RFC 3339). Orders are always shown whole.",
        extra_json_schema={"examples": ["2026-12-01T00:00:00Z"]},
    ),
]


class TimelineQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which part of a timeline."""

    category: Annotated[Literal["all"] | Category, msgspec.Meta(description="Where the console shows it.")] = "all"
    since: _Since = None
    until: _Until = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=LIMIT_MAX, description="Items of one page at most.")] = 50
    cursor: Cursor = None
    min_position: MinPosition = None


@endpoint(
    "POST",
    "/v1/activity",
    action=Action.ACTIVITY_WRITE,
    tag=TAG,
    takes=("Idempotency-Key",),
    body_bytes_max=BATCH_BYTES_MAX,
    examples=examples.ACTIVITY,
    returns=Returns(
        200, "What became of each item", ActivityReportView, ("Rollbook-Position",), examples.ACTIVITY_REPORT
    ),
)
async def record_activities(call: Call[Nothing, Nothing, ActivityBatchInput]) -> Answer:
    """Record what happened to contacts and what they did: up to 1,000 things at once, in any order.

    Each item has a result of its own: one that is refused does not stop the others. A repeat of the same `source` and
    `id` is a `duplicate` and has no effect, however often it is sent, so a batch that got no answer is simply sent
    again. Nothing is recorded of a contact that is blocked: `dropped`. What is meant for a contact that was merged into
    another is recorded for that one. Of what names the contact the first counts that somebody is known by; whether
    people nobody knows are refused or become contacts is a setting of the workspace (`unknown_contacts`).
    """
    key = call.idempotency_key
    digest = b"" if key is None else call.request_hash()
    answered = None if key is None else await _kept(call, key, digest)
    if answered is not None:
        return answered
    workspace = await call.services.workspaces.get(call.caller.workspace_id)
    now = datetime.now(UTC)
    commands = [_command(sent, workspace, now, f"/items/{n}") for n, sent in enumerate(call.body.items)]
    metadata = Metadata(actor=call.caller.actor, source="api", correlation_id=call.request_id)
    report = await call.services.activity_handler.record(workspace.id, commands, metadata=metadata, workspace=workspace)
    for outcome, count in report.counts.items():
        ACTIVITY.labels(outcome).inc(count)
    body = encode_json(report_view(report))
    if key is not None:
        kept = digest + report.position.to_bytes(8, "big") + zlib.compress(body)
        write = Write(workspace_id=workspace.id, streams=(), idempotency_key=key, request_hash=kept)
        try:
            await call.services.store.append(write)
        except DuplicateAppend:  # a repeat was faster, and both are the same request or it is refused
            return await _kept(call, key, digest) or _answer(body, report.lane, report.position)
    return _answer(body, report.lane, report.position)


async def _kept(call: Call[Any, Any, Any], key: str, digest: bytes) -> Answer | None:
    """The answer that the first request with this key got. Raises IdempotencyKeyReused where that was another one."""
    found = await call.services.store.find_idempotent(call.caller.workspace_id, key)
    if found is None:
        return None
    appended, kept = found
    if kept[: len(digest)] != digest:
        raise IdempotencyKeyReused
    rest = kept[len(digest) :]
    return _answer(zlib.decompress(rest[8:]), appended.lane, int.from_bytes(rest[:8], "big"))


def _answer(body: bytes, lane: int, position: int) -> Answer:
    return Answer(200, body).header(b"rollbook-position", f"{lane}.{position}")


def _command(sent: ActivityInput, workspace: Workspace, now: datetime, pointer: str) -> RecordActivity | Refusal:
    try:
        return record_activity(sent, workspace, now=now)
    except InvalidInput as invalid:
        return InvalidInput(msgspec.structs.replace(e, pointer=pointer + e.pointer) for e in invalid.errors)


@endpoint(
    "GET",
    "/v1/contacts/{contact_id}/activity",
    action=Action.CONTACTS_READ,
    tag=TAG,
    takes=("Rollbook-Min-Position",),
    returns=Returns(
        200,
        "One page of the timeline",
        ActivityPage,
        ("Rollbook-Position", "Content-Location"),
        examples.ACTIVITY_PAGE,
    ),
    refuses=(ContactNotFound, ContactIsErased),
)
async def read_activity(call: Call[ContactPath, TimelineQuery, Nothing]) -> Answer:
    """What happened to a contact, newest first; late events stand where they belong.

    Of a merged profile the activity of all its contacts is shown as one, and `Content-Location` names the contact that
    stands for them. After an unmerge each shows its own again; what came meanwhile stays with the one that stood for
    the others.
    """
    services, query, workspace_id = call.services, call.query, call.caller.workspace_id
    since, until = _instant(query.since, "since"), _instant(query.until, "until")
    position = await shown_position(call, query.min_position, ACTIVITY_MODEL)
    stream = Stream(workspace_id, CONTACT, call.path.contact_id)
    # Asked of the log itself: who is part of a profile is right at once, and rows of activity never move.
    met = await services.contact_handler.components.meet(stream, fresh=True)
    timeline = _timeline(workspace_id, met, query.category, since, until)
    try:
        page = await services.activity_queries.page(timeline, limit=query.limit, cursor=query.cursor)
    except InvalidInput as refused:
        raise _bad_parameters(refused) from None
    total = Total(page.total.count, page.total.exact)
    answer = json_answer(200, ActivityPage(tuple(map(activity_view, page.items)), page.next_cursor, total))
    if timeline.contact_id != call.path.contact_id:
        answer.header(b"content-location", f"/v1/contacts/{timeline.contact_id}/activity")
    return answer.header(b"rollbook-position", position)


def _timeline(
    workspace_id: UUID, met: Met[Contact], category: Category | Literal["all"], since: datetime | None,
    until: datetime | None,
) -> Timeline:  # fmt: skip
    contact = met.state
    if not contact.exists:
        raise ContactNotFound(contact.id)
    if contact.erased:
        raise ContactIsErased(contact.id)
    return Timeline(
        workspace_id=workspace_id,
        contact_id=contact.id,
        members=(contact.id, *met.others),
        category=None if category == "all" else category,
        since=since,
        until=until,
    )


def _instant(text: str | None, parameter: str) -> datetime | None:
    if text is None:
        return None
    try:
        return parse_instant(msgspec.convert(text, datetime))
    except (msgspec.ValidationError, InvalidValue):
        expected = "takes an instant with its offset, like 2026-11-22T09:30:00Z (a + is sent as %2B)"
        raise Malformed(Fault(expected, parameter=parameter)) from None


def _bad_parameters(refused: InvalidInput) -> Rejected:
    faults = [Fault(f"{e.reason}; expected {e.expected}", parameter=e.pointer.strip("/")) for e in refused.errors]
    return Rejected(MALFORMED, str(refused), *faults)


ENDPOINTS: Final[tuple[Endpoint, ...]] = (record_activities, read_activity)
