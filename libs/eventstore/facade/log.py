"""Where one library application stands in the log: its name, workspace, categories, and its session."""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable
from threading import Event
from typing import Final, TypeVar
from uuid import UUID, uuid5

import msgspec

from eventstore.cipher import Keyring
from eventstore.envelope import Stream
from eventstore.facade.session import Session
from eventstore.facade.store import ApplicationStore

APPLICATIONS: Final = UUID("b4f1f4b2-4d0c-5a43-9d5e-0f5a6d1c3e77")
"""Namespace of the workspaces that stand for library applications."""

T = TypeVar("T")


class Attachment(msgspec.Struct, frozen=True):
    """Streams of the log's other writers that an application reads beside its own, in their lane."""

    workspace_id: UUID
    category: str


class ApplicationLog:
    """Shared by the recorders of one factory; closes itself when the last of them is gone, or the interpreter ends."""

    def __init__(self, dsn: str, keyring: Keyring, application: str, attachment: Attachment | None = None) -> None:
        self.application = application
        self.own_category = f"application.{application}"
        if attachment is None:
            self.workspace_id = uuid5(APPLICATIONS, application)
            self.categories = [self.own_category]
            connect = _connector(dsn, keyring, application)
        else:
            self.workspace_id = attachment.workspace_id
            self.categories = [self.own_category, attachment.category]
            connect = _attacher(dsn, keyring, attachment)
        self._session = Session(f"rollbook-{application}", connect)
        self._close = weakref.finalize(self, self._session.close)

    def own_stream(self, id_: UUID) -> Stream:
        return Stream(self.workspace_id, self.own_category, id_)

    def run(self, work: Callable[[ApplicationStore], Awaitable[T]]) -> T:
        """What `work` answers when it runs with the open store; raises the library's persistence errors."""
        return self._session.run(work)

    def watch(self, moved: Event) -> Callable[[], None]:
        """Set `moved` whenever the lane has moved, until the function that this answers is called."""
        return self._session.watch(moved)

    def close(self) -> None:
        """Commits what is queued and disconnects; idempotent."""
        self._close()


def _connector(dsn: str, keyring: Keyring, application: str) -> Callable[[], Awaitable[ApplicationStore]]:
    return lambda: ApplicationStore.in_own_lane(dsn, keyring, application)


def _attacher(dsn: str, keyring: Keyring, attachment: Attachment) -> Callable[[], Awaitable[ApplicationStore]]:
    return lambda: ApplicationStore.in_lane_of(dsn, keyring, attachment.workspace_id)
