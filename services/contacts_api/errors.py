"""Why a request was refused, as problem details (RFC 9457): every type, and the one table from refusal to type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg
import msgspec

from contacts import errors as domain
from contacts.consent.links import InvalidLink
from contacts.duplicate.refusals import DuplicateNotFound, UnexpectedCount
from contacts.lists.refusals import ListAlreadyExists, ListIsArchived, ListNotFound
from contacts.restore.refusals import RestoreConflict
from contacts.segment.refusals import SegmentAlreadyExists, SegmentCycle, SegmentIsArchived, SegmentNotFound
from contacts.smartsearch.refusals import SearchTooSlow
from contacts.webhook.refusals import WebhookAlreadyExists, WebhookIsDisabled, WebhookNotFound
from contacts_api.decoding import Fault, Malformed
from contacts_api.restore_views import OfferView, offer_view
from eventstore import errors as log
from servicekit.dead_letters import DeadLettersUnavailable, NoSuchLetter, NotWhole

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"
#: Seconds a caller is asked to wait where nothing better is known.
RETRY_AFTER_S: Final = 1


class Kind(NamedTuple):
    """One problem type. The slug is part of the contract: never change it."""

    slug: str
    status: int
    title: str

    @property
    def uri(self) -> str:
        return f"urn:rollbook:problem:{self.slug}"


MALFORMED: Final = Kind("malformed-request", 400, "The request cannot be read as what it should be")
UNAUTHENTICATED: Final = Kind("unauthenticated", 401, "No valid credentials")
FORBIDDEN: Final = Kind("forbidden", 403, "The role of this key does not include this")
OTHER_WORKSPACE: Final = Kind("other-workspace", 403, "The key belongs to another workspace")
NOT_FOUND: Final = Kind("not-found", 404, "Nothing here under this address")
METHOD_NOT_ALLOWED: Final = Kind("method-not-allowed", 405, "This address does not answer to this method")
CLAIM_TAKEN: Final = Kind("claim-taken", 409, "Another contact holds this value")
DELETED: Final = Kind("contact-deleted", 409, "The contact is deleted")
EXISTS: Final = Kind("already-exists", 409, "This exists already, and is another one")
WEBHOOK_DISABLED: Final = Kind("webhook-disabled", 409, "The webhook is disabled")
ARCHIVED: Final = Kind("archived", 409, "It is archived")
LAST_OWNER: Final = Kind("last-owner", 409, "A workspace keeps at least one owner")
CONTENDED: Final = Kind("contended", 409, "Others kept changing the same thing")
BLOCKED: Final = Kind("contact-blocked", 409, "The contact is blocked")
ABSORBED: Final = Kind("already-absorbed", 409, "Another contact stands for this one")
OBJECTION_STANDS: Final = Kind("objection-stands", 409, "An objection stands that this cannot end")
COUNT_MISMATCH: Final = Kind("unexpected-count", 409, "It would concern another number than expected")
ERASED: Final = Kind("contact-erased", 410, "The contact's personal data is gone for good")
PRECONDITION_FAILED: Final = Kind("precondition-failed", 412, "The version has moved on")
TOO_LARGE: Final = Kind("body-too-large", 413, "The body is larger than this route takes")
ANSWER_TOO_LARGE: Final = Kind("answer-too-large", 413, "The answer is larger than this way takes")
MEDIA_TYPE: Final = Kind("unsupported-media-type", 415, "This media type is not taken here")
INVALID_VALUE: Final = Kind("invalid-value", 422, "A value has the right type and still cannot be")
REFUSED: Final = Kind("refused", 422, "A rule of the workspace forbids it")
KEY_REUSED: Final = Kind("idempotency-key-reused", 422, "The idempotency key belongs to another request")
TOO_SLOW: Final = Kind("too-slow", 422, "The answer would take too long")
OVERLOADED: Final = Kind("overloaded", 429, "Too many requests are waiting")
INTERNAL: Final = Kind("internal-error", 500, "The service failed")
UNAVAILABLE: Final = Kind("unavailable", 503, "The database cannot be reached")
KEYS_UNAVAILABLE: Final = Kind("keys-unavailable", 503, "The keys that tokens are signed with cannot be fetched")
BROKER_UNAVAILABLE: Final = Kind("broker-unavailable", 503, "NATS cannot be reached")
NOT_YET_VISIBLE: Final = Kind("not-yet-visible", 503, "The read model has not reached the wanted position")

#: Refusal to problem type. A refusal of the domain that is missing here is a rule that forbids: `refused`, 422.
KINDS: Final[dict[type[Exception], Kind]] = {
    Malformed: MALFORMED,
    domain.InvalidValue: INVALID_VALUE,
    domain.InvalidInput: INVALID_VALUE,
    domain.ContactNotFound: NOT_FOUND,
    domain.ContactAlreadyExists: EXISTS,
    domain.ContactIsDeleted: DELETED,
    domain.ContactIsErased: ERASED,
    domain.ErasureNotFound: NOT_FOUND,
    domain.IdentityMissing: REFUSED,
    domain.ExternalIdRequired: REFUSED,
    domain.ConsentNotAttested: REFUSED,
    domain.ClaimTakenRefusal: CLAIM_TAKEN,
    RestoreConflict: CLAIM_TAKEN,
    domain.ChannelNotFound: NOT_FOUND,
    domain.TooMany: REFUSED,
    domain.NoSuchAddress: REFUSED,
    domain.ReasonMissing: REFUSED,
    domain.ProofMissing: REFUSED,
    domain.ObjectionOfOtherSpelling: OBJECTION_STANDS,
    domain.SuppressedElsewhere: OBJECTION_STANDS,
    domain.SuppressionNotFound: NOT_FOUND,
    InvalidLink: NOT_FOUND,
    domain.ContactUnknown: NOT_FOUND,
    domain.ActivityAlreadyRecorded: EXISTS,
    domain.ContactIsBlocked: BLOCKED,
    domain.MergedWithItself: REFUSED,
    domain.AlreadyAbsorbed: ABSORBED,
    domain.MergeNotFound: NOT_FOUND,
    domain.NotInMerge: REFUSED,
    DuplicateNotFound: NOT_FOUND,
    UnexpectedCount: COUNT_MISMATCH,
    ListNotFound: NOT_FOUND,
    ListAlreadyExists: EXISTS,
    ListIsArchived: ARCHIVED,
    SegmentNotFound: NOT_FOUND,
    SegmentAlreadyExists: EXISTS,
    SegmentIsArchived: ARCHIVED,
    SegmentCycle: REFUSED,
    SearchTooSlow: TOO_SLOW,
    domain.VersionMismatch: PRECONDITION_FAILED,
    domain.TooContended: CONTENDED,
    domain.IdempotencyKeyReused: KEY_REUSED,
    domain.NotAllowed: FORBIDDEN,
    domain.WorkspaceNotFound: NOT_FOUND,
    domain.WorkspaceAlreadyExists: EXISTS,
    domain.AttributeNotFound: NOT_FOUND,
    domain.AttributeAlreadyDefined: EXISTS,
    domain.KeyNotFound: NOT_FOUND,
    domain.KeyAlreadyExists: EXISTS,
    domain.MemberNotFound: NOT_FOUND,
    domain.MemberAlreadyAdded: EXISTS,
    domain.LastOwner: LAST_OWNER,
    WebhookNotFound: NOT_FOUND,
    WebhookAlreadyExists: EXISTS,
    WebhookIsDisabled: WEBHOOK_DISABLED,
    NoSuchLetter: NOT_FOUND,
    NotWhole: REFUSED,
    DeadLettersUnavailable: BROKER_UNAVAILABLE,
    log.Overloaded: OVERLOADED,
    log.StoreUnavailable: UNAVAILABLE,
    log.PositionTimeout: NOT_YET_VISIBLE,
    log.SubjectErased: ERASED,
    log.KeyUnavailable: UNAVAILABLE,
}
#: What queries meet while the database starts, stops, is too busy, or was not given its read models yet.
UNREACHABLE: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.UndefinedTableError,
)
#: Details that are ours, where the error's own text is for operators.
DETAILS: Final[dict[type[Exception], str]] = {
    DeadLettersUnavailable: "NATS does not answer; try again later",
    log.Overloaded: "the queue of the log is full and nothing was written; try again later",
    log.StoreUnavailable: "try again with the same Idempotency-Key: if the change was made, it is not made twice",
    log.PositionTimeout: "the read model is behind the position asked for; try again later",
}


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of every refusal (RFC 9457)."""

    #: Stable name of the kind of problem.
    type: str
    #: The kind in words; the same for every problem of the type.
    title: str
    #: The HTTP status once more.
    status: int
    #: This occurrence in words.
    detail: str
    #: What is wrong where.
    errors: Sequence[Fault] = ()
    #: The contact that holds the value (`claim-taken`).
    holder: UUID | None = None
    #: How a restore goes on that met a conflict (`claim-taken`).
    offer: OfferView | None = None


class Rejected(Exception):
    """A refusal that the HTTP edge itself decides."""

    def __init__(self, kind: Kind, detail: str, *faults: Fault, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(detail)
        self.kind = kind
        self.faults = faults
        self.headers = headers


def problem_of(error: Exception) -> tuple[Problem, tuple[tuple[str, str], ...]]:
    """What to answer to `error`, and the headers that go with it. Whatever is not a refusal is an internal error."""
    if isinstance(error, Rejected):
        return _problem(error.kind, str(error), error.faults), (*error.headers, *_headers(error.kind, error))
    if isinstance(error, UNREACHABLE):
        return _problem(UNAVAILABLE, "the database does not answer; try again later", ()), _headers(UNAVAILABLE, error)
    kind = KINDS.get(type(error), REFUSED if isinstance(error, domain.Refusal) else INTERNAL)
    detail = "the failure was logged" if kind is INTERNAL else DETAILS.get(type(error), str(error))
    problem = _problem(kind, detail, _faults(error), getattr(error, "holder", None))
    if isinstance(error, RestoreConflict):
        problem = msgspec.structs.replace(problem, offer=offer_view(error))
    return problem, _headers(kind, error)


def _problem(kind: Kind, detail: str, faults: Sequence[Fault], holder: UUID | None = None) -> Problem:
    return Problem(type=kind.uri, title=kind.title, status=kind.status, detail=detail, errors=faults, holder=holder)


def _faults(error: Exception) -> Sequence[Fault]:
    if isinstance(error, Malformed):
        return (error.fault,)
    if isinstance(error, domain.InvalidInput):
        return tuple(Fault(f"{e.reason}; expected {e.expected}", pointer=e.pointer) for e in error.errors)
    if isinstance(error, domain.ClaimTakenRefusal):
        return (Fault(str(error), pointer=f"/{error.kind}"),)
    return ()


def _headers(kind: Kind, error: Exception) -> tuple[tuple[str, str], ...]:
    if kind.status in (429, 503):
        return (("retry-after", str(getattr(error, "retry_after_s", RETRY_AFTER_S))),)
    return ()
