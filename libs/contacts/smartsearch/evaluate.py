"""A filter asked of one contact: whether it holds, and why. The same answer as the compiled SQL gives. No I/O."""

from __future__ import annotations

from datetime import datetime

import msgspec

from contacts.smartsearch.nodes import Node
from contacts.smartsearch.subject import Known


class Truth(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a node holds, and why."""

    true: bool
    node: Node
    #: What the contact has, for a comparison; how many, for activity.
    value: Known = None
    #: Positions of the events that made it so, ascending.
    because: tuple[int, ...] = ()
    #: The next instant at which time alone may change it; None is never.
    until: datetime | None = None
    #: Of the nodes below it, in their order.
    items: tuple[Truth, ...] = ()
