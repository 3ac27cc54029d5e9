"""Messages of lists and of definitions of segments. Who enters and leaves a segment has a stream of its own.

Names are not told: people name lists after people.
"""

from __future__ import annotations

from typing import Final

from contacts_bridge.messages.public import Data, PublicMessage


class DefinitionChanged(Data, frozen=True, kw_only=True, gc=False):
    """The event's name says it all."""


def _nothing_more(_: object, __: bool) -> DefinitionChanged:
    return DefinitionChanged()


MESSAGES: Final = (
    PublicMessage("list.created", "A list was created", DefinitionChanged, _nothing_more),
    PublicMessage("list.renamed", "A list has another name", DefinitionChanged, _nothing_more),
    PublicMessage("list.archived", "A list takes no new members", DefinitionChanged, _nothing_more),
    PublicMessage("list.restored", "A list takes members again", DefinitionChanged, _nothing_more),
    PublicMessage("segment.created", "A segment was created", DefinitionChanged, _nothing_more),
    PublicMessage("segment.renamed", "A segment has another name", DefinitionChanged, _nothing_more),
    PublicMessage("segment.redefined", "A segment has another filter", DefinitionChanged, _nothing_more),
    PublicMessage("segment.archived", "A segment is not kept any more", DefinitionChanged, _nothing_more),
    PublicMessage("segment.restored", "A segment is kept again", DefinitionChanged, _nothing_more),
)
