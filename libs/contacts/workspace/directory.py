"""Workspaces as other parts read them: cached for a second, folded from the log; and who an API key speaks for."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from contacts import errors
from contacts.workspace.keys import KEY_TEXT_MAX, adopt_key, digest_of, parse_key
from contacts.workspace.permissions import Principal, allowed_actions
from contacts.workspace.state import CATEGORY, Key, Workspace, fold, initial
from eventstore.envelope import Stream
from eventstore.store import EventStore

#: How long a change made by another process may stay unseen, a revoked key included.
MAX_AGE_S: Final = 1.0
CACHE_SIZE: Final = 10_000
#: Holds the claims by which keys of foreign form find their workspace: a workspace that nobody can have.
INSTALLATION: Final = UUID(int=0)
FOREIGN_KEY_CLAIM: Final = "api_key"
_NO_DIGEST: Final = bytes(32)


class Workspaces:
    """The present workspaces of the log. One per process; safe to use concurrently."""

    def __init__(
        self, store: EventStore, *, max_age_s: float = MAX_AGE_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._max_age_s = max_age_s
        self._clock = clock
        #: Workspace and when it was last known to be current; least recently refreshed first.
        self._cache: dict[UUID, tuple[Workspace, float]] = {}
        self._refreshing: dict[UUID, asyncio.Task[Workspace]] = {}
        #: Workspace by digest of a key in foreign form. Such a claim is never released.
        self._foreign: dict[bytes, UUID] = {}

    async def get(self, workspace_id: UUID) -> Workspace:
        """At most `max_age_s` old. Raises WorkspaceNotFound."""
        workspace = await self._current(workspace_id)
        if not workspace.exists:
            raise errors.WorkspaceNotFound(workspace_id)
        return workspace

    async def authenticate(self, text: str, now: datetime | None = None) -> Principal | None:
        """Who the API key speaks for; None for an unknown, revoked or expired one."""
        if not text or len(text) > KEY_TEXT_MAX:
            return None
        parsed = parse_key(text)
        if parsed is None:
            workspace_id, key_id = await self._foreign_workspace(text), adopt_key(text).id
        else:
            workspace_id, key_id = parsed
        if workspace_id is None:
            return None
        workspace = await self._current(workspace_id)
        key = workspace.keys.get(key_id)
        # Compared also where there is no such key, so that time does not tell.
        matches = hmac.compare_digest(digest_of(text), key.digest if key else _NO_DIGEST)
        if key is None or not matches or not key.active(now or datetime.now(UTC)):
            return None
        return _principal(workspace_id, key)

    def forget(self, workspace_id: UUID) -> None:
        """The next `get` reads the log, and a read that is under way does not count."""
        self._refreshing.pop(workspace_id, None)
        if (cached := self._cache.get(workspace_id)) is not None:
            self._cache[workspace_id] = (cached[0], float("-inf"))

    async def _current(self, workspace_id: UUID) -> Workspace:
        cached = self._cache.get(workspace_id)
        if cached is not None and self._clock() - cached[1] < self._max_age_s:
            return cached[0]
        refreshing = self._refreshing.get(workspace_id)
        if refreshing is None:
            base = cached[0] if cached else initial(workspace_id)
            refreshing = self._refreshing[workspace_id] = asyncio.create_task(self._refresh(base))
        return await asyncio.shield(refreshing)

    async def _refresh(self, workspace: Workspace) -> Workspace:
        """Folds what was appended since; the age counts from before the read."""
        asked_at = self._clock()
        task = asyncio.current_task()
        stream = Stream(workspace.id, CATEGORY, workspace.id)
        try:
            for recorded in await self._store.read_stream(stream, after_version=workspace.version):
                workspace = fold(workspace, recorded)
        finally:
            forgotten = self._refreshing.get(workspace.id) is not task
            if not forgotten:
                del self._refreshing[workspace.id]
        if forgotten:
            return workspace
        self._cache.pop(workspace.id, None)
        self._cache[workspace.id] = (workspace, asked_at)
        if len(self._cache) > CACHE_SIZE:
            del self._cache[next(iter(self._cache))]
        return workspace

    async def _foreign_workspace(self, text: str) -> UUID | None:
        digest = digest_of(text)
        known = self._foreign.get(digest)
        if known is None:
            known = await self._store.find_claim(INSTALLATION, FOREIGN_KEY_CLAIM, digest.hex())
            if known is not None and len(self._foreign) < CACHE_SIZE:
                self._foreign[digest] = known
        return known


def _principal(workspace_id: UUID, key: Key) -> Principal:
    return Principal(
        workspace_id=workspace_id,
        actor=f"key:{key.id}",
        role=key.role,
        allowed=allowed_actions(key.role, key.scopes),
    )
