"""The first workspace of an installation and the key that owns it. Repeating it changes nothing."""

from __future__ import annotations

from typing import Final
from uuid import UUID

import msgspec
from uuid_utils.compat import uuid7

from contacts import errors
from contacts.workspace.commands import CreateWorkspace, IssueKey
from contacts.workspace.directory import FOREIGN_KEY_CLAIM, INSTALLATION
from contacts.workspace.handler import WorkspaceHandler
from contacts.workspace.keys import KEY_TEXT_MAX, NewKey, adopt_key, make_key, parse_key
from eventstore.envelope import Claim, Metadata, Write
from eventstore.errors import ClaimTaken
from eventstore.store import EventStore

METADATA: Final = Metadata(actor="system:bootstrap", source="manual")
#: Which workspace a start without a key and a workspace id comes back to.
FIRST_WORKSPACE_CLAIM: Final = "first_workspace"


class Bootstrapped(msgspec.Struct, frozen=True, kw_only=True):
    """What a start may rely on."""

    workspace_id: UUID
    #: Shown once: the text of a key made now; None where the caller brought one, or the workspace existed.
    new_key: str | None
    created: bool


async def bootstrap(
    store: EventStore,
    handler: WorkspaceHandler,
    *,
    key: str | None = None,
    workspace_id: UUID | None = None,
    name: str = "First workspace",
) -> Bootstrapped:
    """Makes sure that a workspace exists and that `key`, any text, owns it; a new workspace without one gets one made.

    Safe to be run by several processes at once. Raises InvalidInput where the key names another workspace.
    """
    workspace_id = await _settled_workspace(store, key, workspace_id)
    wanted = make_key(workspace_id) if key is None else adopt_key(key)
    create = CreateWorkspace(workspace_id=workspace_id, name=name, key_id=wanted.id, key_digest=wanted.digest)
    try:
        await handler.execute(create, metadata=METADATA)
    except errors.WorkspaceAlreadyExists:
        if key is not None:
            await handler.execute(_owner_key(workspace_id, wanted), metadata=METADATA)
        return Bootstrapped(workspace_id=workspace_id, new_key=None, created=False)
    return Bootstrapped(workspace_id=workspace_id, new_key=wanted.text if key is None else None, created=True)


def _owner_key(workspace_id: UUID, key: NewKey) -> IssueKey:
    return IssueKey(workspace_id=workspace_id, key_id=key.id, name="bootstrap key", digest=key.digest, role="owner")


async def _settled_workspace(store: EventStore, key: str | None, workspace_id: UUID | None) -> UUID:
    """The workspace meant: the one named, that of the key, the first of the installation, or a new one."""
    named = workspace_id if key is None else await _workspace_of(store, key, workspace_id)
    first = await _claim(store, FIRST_WORKSPACE_CLAIM, "", named or uuid7())
    return named or first


async def _workspace_of(store: EventStore, key: str, workspace_id: UUID | None) -> UUID:
    if not key.strip() or len(key) > KEY_TEXT_MAX:
        raise _refused("/key", "is blank or too long", f"1 to {KEY_TEXT_MAX} characters")
    if (parsed := parse_key(key)) is not None:
        named = parsed[0]
    else:
        # A key of foreign form does not say where it belongs, so the installation remembers.
        digest = adopt_key(key).digest.hex()
        named = await _claim(store, FOREIGN_KEY_CLAIM, digest, workspace_id or uuid7())
    if workspace_id is not None and named != workspace_id:
        raise _refused("/workspace_id", "is not the workspace of this key", str(named))
    return named


async def _claim(store: EventStore, kind: str, value: str, workspace_id: UUID) -> UUID:
    """Who holds the value: `workspace_id`, if nobody did before."""
    claim = Claim(kind=kind, value=value, holder=workspace_id)
    try:
        await store.append(Write(workspace_id=INSTALLATION, streams=(), claims=(claim,)))
    except ClaimTaken as taken:
        return taken.holder
    return workspace_id


def _refused(pointer: str, reason: str, expected: str) -> errors.InvalidInput:
    return errors.InvalidInput([errors.InvalidField(pointer, reason, expected)])
