"""Whom a JWT speaks for: signed by a key of the configured set, for us, by the configured issuer, not expired.

The token names the workspace. The role is that of the workspace's member with the token's subject; only for somebody
who is none it is the role that the token names. Scopes of the token that are permissions of ours narrow what it may do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, get_args
from uuid import UUID

import jwt

from contacts.errors import InvalidValue, WorkspaceNotFound
from contacts.values import parse_external_id
from contacts.workspace.actors import user_actor
from contacts.workspace.events import Role
from contacts.workspace.permissions import Action, Principal, allowed_actions
from contacts_api.errors import FORBIDDEN, UNAUTHENTICATED, Rejected
from contacts_api.jwks import ALGORITHMS, Jwks, source_of

if TYPE_CHECKING:
    from contacts.workspace.directory import Workspaces
    from servicekit.settings import Settings

TOKEN_MAX: Final = 8_192
#: How far clocks may be apart, in seconds.
LEEWAY_S: Final = 30
CHALLENGE: Final = (("www-authenticate", 'Bearer realm="rollbook", error="invalid_token"'),)
_KNOWN: Final = frozenset(algorithm for algorithms in ALGORITHMS.values() for algorithm in algorithms)
_ACTIONS: Final = {action.value: action for action in Action}


def looks_like_token(text: str) -> bool:
    """Three parts, the first of which is a JSON object in base64url. No API key of ours looks like that."""
    return text.startswith("ey") and text.count(".") == 2


class Tokens:
    """Safe to use concurrently."""

    def __init__(
        self, settings: Settings, workspaces: Workspaces, hmac: Callable[[str, str], bytes], jwks: Jwks | None = None
    ) -> None:
        """`settings` name a set of keys, an issuer and an audience; `hmac` is `Keyring.hmac`."""
        self._settings = settings
        self._hmac = hmac
        self._workspaces = workspaces
        self._jwks = jwks or Jwks(source_of(settings.jwt_jwks))

    async def authenticate(self, text: str) -> Principal:
        """Raises Rejected: 401 for a token that is not good, 403 where it says nothing of what its bearer may do."""
        claims = await self._claims(text)
        workspace_id, subject = self._workspace(claims), _subject(claims)
        try:
            workspace = await self._workspaces.get(workspace_id)
        except WorkspaceNotFound:
            raise _invalid(f"its claim {self._settings.jwt_workspace_claim} names no workspace of ours") from None
        wanted = _scopes(claims)
        member = workspace.members.get(subject)
        role = self._role(claims) if member is None else member.role
        allowed = allowed_actions(role, wanted if member is None else member.scopes)
        narrowed = {_ACTIONS[scope] for scope in wanted if scope in _ACTIONS}
        return Principal(
            workspace_id=workspace_id,
            actor=user_actor(self._hmac, workspace_id, subject),
            role=role,
            allowed=allowed & narrowed if narrowed else allowed,
        )

    def _role(self, claims: dict[str, Any]) -> Role:
        role: Any = claims.get(self._settings.jwt_role_claim)
        if role not in get_args(Role):
            claim = self._settings.jwt_role_claim
            raise Rejected(FORBIDDEN, f"its subject is no member of the workspace, and its claim {claim} no role")
        named: Role = role
        return named

    async def _claims(self, text: str) -> dict[str, Any]:
        if len(text) > TOKEN_MAX:
            raise _invalid("it is too long")
        try:
            header = jwt.get_unverified_header(text)
            algorithm = header.get("alg")
            key_id = header.get("kid")
            if algorithm not in _KNOWN or not isinstance(key_id, str | None) or "crit" in header:
                raise _invalid("its header is not one that is taken here")
            key = await self._jwks.key(key_id)
            if key is None or algorithm not in key.algorithms:
                raise _invalid("it is not signed with a key of the configured set")
            return jwt.decode(
                text,
                key.key,
                algorithms=[algorithm],
                audience=self._settings.jwt_audience,
                issuer=self._settings.jwt_issuer,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.ExpiredSignatureError:
            raise _invalid("it has expired") from None
        except (jwt.PyJWTError, ValueError):
            # What exactly was wrong is nothing that somebody who makes tokens up should be told.
            raise _invalid("signature, issuer, audience or times are wrong") from None

    def _workspace(self, claims: dict[str, Any]) -> UUID:
        try:
            return UUID(claims[self._settings.jwt_workspace_claim])
        except (KeyError, ValueError, TypeError, AttributeError):
            raise _invalid(f"its claim {self._settings.jwt_workspace_claim} names no workspace of ours") from None


def _subject(claims: dict[str, Any]) -> str:
    try:
        return parse_external_id(claims["sub"])
    except InvalidValue:
        raise _invalid("its subject cannot be kept") from None


def _scopes(claims: dict[str, Any]) -> tuple[str, ...]:
    """Of `scope` as RFC 9068 has it, or as a list."""
    scope = claims.get("scope", "")
    found = scope.split() if isinstance(scope, str) else scope if isinstance(scope, list) else ()
    return tuple(each for each in found if isinstance(each, str))


def _invalid(reason: str) -> Rejected:
    return Rejected(UNAUTHENTICATED, f"the token is not valid: {reason}", headers=CHALLENGE)
