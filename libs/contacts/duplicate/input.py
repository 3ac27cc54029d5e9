"""What callers send about duplicates, parsed into commands and keys. Knows no HTTP."""

from __future__ import annotations

from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec

from contacts.duplicate.commands import Keep, RemoveDuplicates
from contacts.duplicate.keys import LIKELY, AddressKind, By, pair_key, parse_pair_key
from contacts.emails import email_mailbox, parse_email
from contacts.errors import InvalidField, InvalidInput, InvalidValue
from contacts.phones import parse_phone
from contacts.values import Country, parse_reason

#: Groups that one request can name.
KEYS_MAX: Final = 1_000
_Key = Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]


class RemovalInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which groups to bring down to one contact each, and which one that is."""

    by: Annotated[
        AddressKind,
        msgspec.Meta(description="Likely duplicates are not certain enough: they are merged or deleted one by one."),
    ]
    keep: Annotated[Keep, msgspec.Meta(description="The one created first, or the one created last.")]
    keys: Annotated[
        Annotated[list[_Key], msgspec.Meta(max_length=KEYS_MAX)] | Literal["all"],
        msgspec.Meta(description="Addresses of groups, in any spelling; `all` for every group that is not dismissed."),
    ]
    reason: Annotated[str, msgspec.Meta(description="Stands in the history of every contact deleted.")]
    expected_count: Annotated[
        Annotated[int, msgspec.Meta(ge=0, le=2**53)] | None,
        msgspec.Meta(
            description="How many contacts are to be deleted in all; refused where it would be another count."
        ),
    ] = None


def remove_duplicates(body: RemovalInput, *, workspace_id: UUID, region: Country | None) -> RemoveDuplicates:
    """Raises InvalidInput with every key that is no address, and the reason if it is none."""
    wrong: list[InvalidField] = []
    keys: list[str] = []
    for number, text in enumerate(() if body.keys == "all" else body.keys):
        try:
            keys.append(parse_key(body.by, text, region))
        except InvalidValue as error:
            wrong.append(InvalidField(f"/keys/{number}", error.reason, error.expected))
    reason = ""
    try:
        reason = parse_reason(body.reason)
    except InvalidValue as error:
        wrong.append(InvalidField("/reason", error.reason, error.expected))
    if wrong:
        raise InvalidInput(wrong)
    return RemoveDuplicates(
        workspace_id=workspace_id,
        by=body.by,
        keep=body.keep,
        keys=None if body.keys == "all" else tuple(sorted(set(keys))),
        reason=reason,
        expected_count=body.expected_count,
    )


def parse_key(by: By, text: str, region: Country | None) -> str:
    """The key that `text` means: an address in any spelling, or a pair whichever comes first. Raises InvalidValue."""
    if by == "email":
        return email_mailbox(parse_email(text))
    if by == "phone":
        return parse_phone(text, region)
    pair = parse_pair_key(text)
    if pair is None:
        raise InvalidValue("is no pair of contacts", "two ids with an underscore between them")
    assert by == LIKELY
    return pair_key(*pair)
