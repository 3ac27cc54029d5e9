"""Messages of duplicates: ids of contacts only. Of a group it is not told which address it is about."""

from __future__ import annotations

from typing import Annotated, Final
from uuid import UUID

from msgspec import Meta

from contacts_bridge.messages.public import Data, PublicMessage, same_fields


class DuplicateDismissed(Data, frozen=True, kw_only=True, gc=False):
    """Somebody says that contacts are no duplicates, or that it does not matter."""

    by: Annotated[str, Meta(description="`email`, `phone` or `likely`.")]
    contacts: Annotated[tuple[UUID, ...], Meta(description="The two of a likely pair; empty for a group.")] = ()


MESSAGES: Final = (
    PublicMessage(
        "duplicate.dismissed",
        "Contacts were said to be no duplicates",
        DuplicateDismissed,
        same_fields(DuplicateDismissed),
    ),
)
