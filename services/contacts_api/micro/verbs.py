"""What endpoints are called on NATS: `contacts.get` is `GET /v1/contacts/{contact_id}`. Derived, so none is missing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from contacts_api.endpoint import JSON_TYPES, PUBLIC, Endpoint

SUBJECT_PREFIX: Final = "rollbook.svc.v1"
_ONE: Final = {"GET": "get", "PATCH": "update", "PUT": "upsert", "DELETE": "delete", "POST": "create"}
_ALL: Final = {"GET": "list", "PATCH": "update", "PUT": "replace", "DELETE": "delete"}
#: Words of the plural form that name one thing.
_SINGLE: Final = frozenset({"settings", "counts"})
#: Answers that never end have no place in a reply.
_STREAMS: Final = frozenset({"text/event-stream"})


def verbs(endpoints: Iterable[Endpoint]) -> Mapping[str, Endpoint]:
    """The endpoints that are served over NATS, by verb: those that need a key, take JSON and answer at once."""
    served = [each for each in endpoints if _is_served(each)]
    named = {verb_of(each): each for each in served}
    if len(named) < len(served):
        raise ValueError("two endpoints have the same verb")
    return named


def verb_of(endpoint: Endpoint) -> str:
    """The words of the address, and what is done where they do not say it: part of the contract, like the address."""
    segments = [segment for segment in endpoint.path.split("/")[2:] if segment not in ("", "by")]
    words = [segment for segment in segments if not segment.startswith("{")]
    last = words[-1]
    if segments[-1].startswith("{"):
        words.append(_ONE[endpoint.method])
    elif last == "settings":
        words.append({"GET": "get", "PATCH": "update"}[endpoint.method])
    elif endpoint.method == "POST" and _is_collection(last):
        # What belongs to one thing is added to it.
        words.append("add" if len(words) > 1 else "create")
    elif endpoint.method != "POST" and (_is_collection(last) or endpoint.method != "GET"):
        words.append(_ALL[endpoint.method])
    return ".".join(words)


def subject_of(verb: str, workspace: object = "*") -> str:
    """Where a verb is asked for."""
    return f"{SUBJECT_PREFIX}.{workspace}.{verb}"


def _is_collection(word: str) -> bool:
    return word.endswith("s") and word not in _SINGLE and not re.search(r"(ss|us|is)$", word)


def _is_served(endpoint: Endpoint) -> bool:
    return (
        endpoint.action is not PUBLIC
        and endpoint.in_schema
        and bool(endpoint.media_types & JSON_TYPES)
        and not any(returns.media_type in _STREAMS for returns in endpoint.returns)
    )
