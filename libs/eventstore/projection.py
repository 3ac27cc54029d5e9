"""What a read model brings along to be kept by a projector: its name, tables and fold. No running, no checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from eventstore.errors import EventStoreError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    import asyncpg

    from eventstore.cipher import Keyring
    from eventstore.envelope import RecordedEvent

    Connection = asyncpg.Connection[asyncpg.Record]


class PoisonedEvent(EventStoreError):
    """An event the projection cannot apply: its key is parked from this event on, everything else goes on.

    `reason` is stored and shown to operators: never put personal data in it.
    """

    def __init__(self, key: UUID, event: RecordedEvent[Any], reason: str) -> None:
        super().__init__(f"position {event.position}: {reason}")
        self.key = key
        self.event = event
        self.reason = reason


class Projection(Protocol):
    """A disposable read model: a fold of the log into the tables of one PostgreSQL schema (a *build*).

    Subclass it to inherit `key`. An instance holds no state between calls: rows are the only memory, because a batch
    may be rolled back and given again.
    """

    #: Lower-case identifier; the live build is the schema `rm_<name>`.
    name: str
    #: Raised by one whenever tables or fold change: a higher version is built beside the live one and swapped in.
    version: int
    #: Names of the events it reads; all others are read past without being decoded.
    types: frozenset[str]
    #: Tables by unqualified names, each with a `workspace_id uuid` column and a primary key. The builder adds row-level
    #: security with its policies and lets `rollbook_reader` select; views are for the projection to grant.
    schema_sql: str
    #: Secondary indexes: only CREATE [UNIQUE] INDEX statements, each ended by a semicolon at the end of a line. They
    #: may run in any order, in parallel, and after the rows are there.
    index_sql: str
    #: Columns left out when a new build is compared with the live one. Streams may be applied in any order relative to
    #: one another, so which event wrote a row last can differ where a row depends on several.
    uncompared: frozenset[str] = frozenset({"position"})
    #: Tables left out of that comparison: those that a clock writes beside the log, up to an instant of its own.
    uncompared_tables: frozenset[str] = frozenset()
    #: How long it lets others go first when something new came to a quiet log. What people look at right after they
    #: wrote takes none.
    stands_back_s: float = 0.0

    def key(self, event: RecordedEvent[Any]) -> UUID:
        """What is parked when an event fails: events of one key are applied in order, keys are independent.

        Must not look into `event.event` further than an `Unreadable` allows: it is also asked for events that could
        not be decoded.

        With the default, streams of different ids may be applied in any order relative to one another: slices run
        apart, and a rebuild takes one stream after the other. A projection that overrides it always gets its events in
        the order of the lane, and cannot be split into slices.
        """
        return event.stream_id

    def bound(self, keyring: Keyring) -> Projection:
        """The projection as it is to apply events; for those that need keyed digests to tell what belongs together."""
        return self

    async def apply(
        self,
        connection: Connection,
        events: Sequence[RecordedEvent[Any]],
        *,
        fresh: bool,
    ) -> None:
        """Fold `events` (of one lane, in order of position) per key in memory, then write all rows at once.

        Runs inside the projector's transaction with `search_path` on the build; never commits. An event may carry
        `Unreadable` where its data key was destroyed. With `fresh` no row exists yet for any key of the batch, so that
        loading present rows can be skipped; it is a permission, never a duty.

        Raises:
            PoisonedEvent: one event cannot be applied. Any other error that is not PostgreSQL's own trouble is
                narrowed down to its event by halving the batch.
        """
