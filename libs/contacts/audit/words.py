"""Fields, values, people and ways in as a reader names them. English; no sentence is here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from contacts.audit.fields import ATTRIBUTES, CONSENTS
from contacts.contact.events import Address, ChannelIdentity, Location
from contacts.contact.state import Channel
from contacts.workspace.actors import DIGEST
from contacts.workspace.state import Workspace

_FIELDS: Final = {
    "external_id": "external id",
    "messaging_id": "messaging id",
    "email": "e-mail",
    "avatar_url": "avatar",
    "campaign_opt_in": "campaign opt-in",
    "time_zone": "time zone",
    "email_status": "the status of the e-mail",
    "phone_status": "the status of the phone",
}
_CHANNELS: Final = {"email": "e-mail", "sms": "SMS", "whatsapp": "WhatsApp", "phone": "everything sent to the phone"}
_SYSTEM: Final = {"retention": "Rollbook itself (retention)"}
#: How something came in.
_WAYS: Final = {
    "api": "over the API",
    "mobile_api": "over the mobile API",
    "import": "by an import",
    "manual": "by hand",
    "subscription_form": "through a subscription form",
    "order": "with an order",
    "event": "because of an event",
    "message_channel": "through a message channel",
    "one_click": "with the unsubscribe link",
    "retention": "because the workspace keeps deleted contacts no longer",
}
_REASONS: Final = {
    "person_asked": "the person asked for it",
    "consent_withdrawn": "the person withdrew their consent",
    "objection": "the person objected",
    "no_longer_needed": "the data is no longer needed",
    "unlawful": "the data was processed unlawfully",
    "legal_obligation": "the law demands it",
    "retention": "it was deleted longer ago than the workspace keeps contacts",
}
TEXT_MAX: Final = 200
NOTHING: Final[Mapping[UUID, str]] = MappingProxyType({})
NOBODY: Final[Mapping[str, str]] = MappingProxyType({})


class Names:
    """Knows who is behind the actors of one workspace, which contact is meant by "this contact", and lists by name."""

    def __init__(
        self, workspace: Workspace, contact_id: UUID, lists: Mapping[UUID, str] = NOTHING,
        people: Mapping[str, str] = NOBODY,
    ) -> None:  # fmt: skip
        """`people` has the ids of members by actor."""
        self.workspace_id = workspace.id
        self._workspace = workspace
        self._contact_id = contact_id
        self._lists = lists
        self._people = people

    def actor(self, actor: str | None) -> str | None:
        """`API key “crm”`, `member “anna”`, `user mzxw6ytb`; None where nobody was recorded."""
        if actor is not None and actor in self._people:
            return f"member “{self._people[actor]}”"
        kind, _, id_ = (actor or "").partition(":")
        if kind == "key":
            key = self._workspace.keys.get(id_)
            return f"API key “{key.name}”" if key else f"API key {id_}"
        if kind == "user":
            # Somebody whom the workspace does not know, or does not any more: enough to tell two of them apart.
            return f"user {id_[:8]}" if DIGEST.fullmatch(id_) else f"member “{id_}”"
        if kind == "system":
            return _SYSTEM.get(id_, f"Rollbook itself ({id_})")
        return actor or None

    def contact(self, contact_id: UUID) -> str:
        return "this contact" if contact_id == self._contact_id else f"contact {contact_id}"

    def lists(self, list_ids: Iterable[UUID]) -> list[str]:
        return [self._lists.get(each, str(each)) for each in list_ids]

    def contacts(self, contact_ids: Iterable[UUID]) -> str:
        return listed(self.contact(each) for each in contact_ids)


def field(name: str) -> str:
    if name.startswith(ATTRIBUTES):
        return f"the attribute “{name.removeprefix(ATTRIBUTES)}”"
    if name.startswith(CONSENTS):
        return f"the consent to {channel(name.removeprefix(CONSENTS))}"
    return _FIELDS.get(name, name.replace("_", " "))


def channel(name: str) -> str:
    return _CHANNELS.get(name, name.replace("_", " "))


def way(source: str | None) -> str:
    """With a blank before it; empty where it is not known."""
    return f" {_WAYS.get(source, f'through {source}')}" if source else ""


def erasure_reason(code: str) -> str:
    return _REASONS.get(code, code.replace("_", " "))


def because(reason: str | None) -> str:
    """With a comma before it; empty where nobody said why."""
    return f", because: “{_short(reason)}”" if reason else ""


def value(held: Any) -> str:
    match held:
        case None:
            return "nothing"
        case bool():
            return "yes" if held else "no"
        case str():
            return f"“{_short(held)}”"
        case datetime():
            return f"{held:%Y-%m-%d %H:%M} UTC"
        case Address():
            parts = (held.street, held.postcode, held.city, held.region, held.country)
            return f"“{_short(', '.join(part for part in parts if part))}”"
        case Location():
            return f"{held.latitude}, {held.longitude}"
        case Channel() | ChannelIdentity():
            return f"{channel(held.kind)} “{_short(held.token)}”"
        case list() | tuple():
            return listed(map(value, held)) or "nothing"
    return str(held)


def listed(parts: Iterable[str]) -> str:
    """`a, b and c`."""
    *most, last = list(parts) or [""]
    return f"{', '.join(most)} and {last}" if most else last


def _short(text: str) -> str:
    return text if len(text) <= TEXT_MAX else f"{text[: TEXT_MAX - 1]}…"
