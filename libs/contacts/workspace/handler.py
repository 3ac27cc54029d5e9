"""Workspace commands on the log. Rules are in the decider, reading and authentication in `workspace/directory.py`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from contacts.execution import Execution, Request
from contacts.workspace.commands import CreateWorkspace, WorkspaceCommand
from contacts.workspace.decider import decide, evolve, fold, initial
from contacts.workspace.directory import Workspaces
from contacts.workspace.events import WorkspaceEvent
from contacts.workspace.state import CATEGORY, Workspace
from eventstore.aggregate import Aggregates
from eventstore.envelope import Appended, Claim, Metadata, RecordedEvent, Stream
from eventstore.store import EventStore

CACHE_SIZE: Final = 1_000


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a command led to. A replay of the same request answers an equal one, but for `replayed`."""

    #: Right after the command.
    workspace: Workspace
    version: int
    appended: Appended
    created: bool
    #: The idempotency key had its effect earlier.
    replayed: bool


class WorkspaceHandler:
    """One per process; safe to use concurrently."""

    def __init__(self, store: EventStore, workspaces: Workspaces) -> None:
        """`workspaces` of this process show a change at once, those of others within a second."""
        aggregates = Aggregates(store, category=CATEGORY, initial=initial, evolve=fold, cache_size=CACHE_SIZE)
        self._execution = Execution(store, WorkspaceRules(), aggregates)
        self._workspaces = workspaces

    async def execute(
        self,
        command: WorkspaceCommand,
        *,
        metadata: Metadata,
        idempotency_key: str | None = None,
        request_hash: bytes = b"",
        expected_version: int | None = None,
    ) -> Outcome:
        """Durable when it returns. A repeat with the same key and hash answers what the first time did, for ever.

        Raises:
            Refusal: as the command names, VersionMismatch, TooContended, IdempotencyKeyReused.
            StoreUnavailable, Overloaded: repeat with the same key.
        """
        request = Request(
            metadata=metadata,
            idempotency_key=idempotency_key,
            digest=request_hash,
            expected_version=expected_version,
        )
        stream = Stream(command.workspace_id, CATEGORY, command.workspace_id)
        new = isinstance(command, CreateWorkspace)
        executed = await self._execution.execute(command, stream, request, new=new)
        self._workspaces.forget(command.workspace_id)
        return Outcome(
            workspace=executed.state,
            version=executed.version,
            appended=executed.appended,
            created=executed.created,
            replayed=executed.replayed,
        )


class WorkspaceRules:
    """The decider as `Execution` wants it; a workspace claims nothing."""

    category: str = CATEGORY

    def initial(self, id_: UUID) -> Workspace:
        return initial(id_)

    def decide(self, command: WorkspaceCommand, state: Workspace) -> list[WorkspaceEvent]:
        return decide(command, state)

    def fold(self, state: Workspace, recorded: RecordedEvent[Any]) -> Workspace:
        return fold(state, recorded)

    def evolve(self, state: Workspace, event: WorkspaceEvent, at: datetime) -> Workspace:
        return evolve(state, event, at)

    def show(self, state: Workspace, _others: Mapping[UUID, Workspace]) -> Workspace:
        return state

    def claims(self, _before: Workspace, _after: Workspace, _others: Mapping[UUID, Workspace]) -> Iterable[Claim]:
        return ()
