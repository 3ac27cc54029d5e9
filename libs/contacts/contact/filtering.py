"""What a list of contacts is narrowed down to, as one condition of SQL and its parameters. Runs nothing."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import msgspec

from contacts.contact.search import Term, parse_search
from contacts.errors import InvalidField, InvalidInput, InvalidValue
from contacts.values import Country

#: `all` are those with such an address, whatever its status.
EmailFilter: TypeAlias = Literal[
    "all", "active", "not_confirmed", "unsubscribed", "spam_report", "blacklisted", "over_limit"
]
PhoneFilter: TypeAlias = Literal["all", "active", "blacklisted", "over_limit"]


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """What to list. Everything that is set must be true of a contact."""

    #: The search box, parsed.
    terms: tuple[Term, ...] = ()
    email_status: EmailFilter | None = None
    phone_status: PhoneFilter | None = None
    #: Either the present or the deleted, never both.
    deleted: bool = False

    def counts(self, email_status: str, phone_status: str) -> bool:
        """Whether contacts with these statuses match; an empty one is no address."""
        return _is_wanted(self.email_status, email_status) and _is_wanted(self.phone_status, phone_status)


class Parameters:
    """The parameters of one statement; `first` is the number of the first that is free."""

    def __init__(self, first: int) -> None:
        self.values: list[object] = []
        self._first = first

    def add(self, value: object, type_: str) -> str:
        """The name of a new parameter. `type_` is a type of PostgreSQL."""
        self.values.append(value)
        return f"${self._first + len(self.values) - 1}::{type_}"


def parse_filter(
    *, q: str | None, email_status: str | None, phone_status: str | None, deleted: bool, region: Country | None
) -> Filter:
    """Raises InvalidInput for a status that is none, and for what cannot be searched for."""
    _check_status("/email_status", email_status, get_args(EmailFilter))
    _check_status("/phone_status", phone_status, get_args(PhoneFilter))
    try:
        terms = parse_search(q, region) if q else ()
    except InvalidValue as error:
        raise InvalidInput([InvalidField("/q", error.reason, error.expected)]) from None
    return msgspec.convert(
        {"terms": terms, "email_status": email_status, "phone_status": phone_status, "deleted": deleted}, Filter
    )


def _check_status(pointer: str, status: str | None, known: tuple[str, ...]) -> None:
    if status is not None and status not in known:
        raise InvalidInput([InvalidField(pointer, "is no status", "one of " + ", ".join(known))])


def compile_filter(wanted: Filter, parameters: Parameters) -> str:
    """A condition on the alias `c`. What callers sent is in the parameters only."""
    conditions = [f"c.deleted_at IS {'NOT ' if wanted.deleted else ''}NULL"]
    for column, status in (("email_status", wanted.email_status), ("phone_status", wanted.phone_status)):
        if status == "all":
            conditions.append(f"c.{column} IS NOT NULL")
        elif status is not None:
            conditions.append(f"c.{column} = {parameters.add(status, 'text')}")
    return " AND ".join([*conditions, *compile_terms(wanted, parameters)])


def compile_terms(wanted: Filter, parameters: Parameters) -> list[str]:
    """What the search box asks of `c`, all of which must hold."""
    return [_term(term, parameters) for term in wanted.terms]


def _term(term: Term, parameters: Parameters) -> str:
    ways = [
        " AND ".join(f"c.search LIKE {parameters.add(pattern, 'text')}" for pattern in patterns)
        for patterns in term.texts
    ]
    if term.ids is not None:
        first, last = parameters.add(term.ids.first, "uuid"), parameters.add(term.ids.last, "uuid")
        ways.append(f"c.contact_id BETWEEN {first} AND {last}")
    return "(" + " OR ".join(f"({way})" for way in ways) + ")"


def _is_wanted(wanted: str | None, status: str) -> bool:
    return wanted is None or wanted == status or (wanted == "all" and status != "")
