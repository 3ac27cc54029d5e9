"""Who is asking and whether they may: bearer tokens to principals. What each role may is the domain's table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from contacts_api.errors import OTHER_WORKSPACE, UNAUTHENTICATED, Rejected
from contacts_api.tokens import looks_like_token

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from contacts.workspace.permissions import Action, Principal
    from contacts_api.services import Services

_CHALLENGE: Final = (("www-authenticate", 'Bearer realm="rollbook"'),)


async def authorised(
    services: Services, headers: Mapping[bytes, bytes], action: Action, workspace_id: UUID | None = None
) -> Principal:
    """Who asks; `workspace_id` is the workspace that the address names, if it names one.

    Raises Rejected without valid credentials and for another workspace, NotAllowed where the role does not include
    the action.
    """
    scheme, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Rejected(UNAUTHENTICATED, "send Authorization: Bearer <API key or JWT>", headers=_CHALLENGE)
    principal = await _principal(services, token.strip())
    if workspace_id is not None and principal.workspace_id != workspace_id:
        # The same whether or not there is such a workspace.
        raise Rejected(OTHER_WORKSPACE, "the key belongs to another workspace than the one addressed")
    principal.require(action)
    return principal


async def _principal(services: Services, text: str) -> Principal:
    """Raises Rejected."""
    if services.tokens is not None and looks_like_token(text):
        return await services.tokens.authenticate(text)
    principal = await services.workspaces.authenticate(text)
    if principal is None:
        raise Rejected(UNAUTHENTICATED, "this API key is unknown, revoked or expired", headers=_CHALLENGE)
    return principal
