"""Every address of the API, a module per kind of thing. Handlers are thin: decoded input, command or query, answer."""

from __future__ import annotations

from typing import Final

from contacts_api.endpoint import Endpoint
from contacts_api.routes import (
    activity,
    attributes,
    consents,
    contact_lists,
    contacts,
    dead_letters,
    duplicates,
    erasures,
    history,
    keys,
    ledgers,
    lifecycle,
    lists,
    may_send,
    merges,
    parts,
    search,
    segment_members,
    segments,
    service,
    suppressions,
    unsubscribe,
    webhooks,
    workspace,
)

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    *contacts.ENDPOINTS,
    *lists.ENDPOINTS,
    *search.ENDPOINTS,
    *lifecycle.ENDPOINTS,
    *erasures.ENDPOINTS,
    *parts.ENDPOINTS,
    *consents.ENDPOINTS,
    *suppressions.ENDPOINTS,
    *may_send.ENDPOINTS,
    *unsubscribe.ENDPOINTS,
    *ledgers.ENDPOINTS,
    *merges.ENDPOINTS,
    *duplicates.ENDPOINTS,
    *activity.ENDPOINTS,
    *history.ENDPOINTS,
    *contact_lists.ENDPOINTS,
    *segments.ENDPOINTS,
    *segment_members.ENDPOINTS,
    *attributes.ENDPOINTS,
    *workspace.ENDPOINTS,
    *keys.ENDPOINTS,
    *webhooks.ENDPOINTS,
    *dead_letters.ENDPOINTS,
    *service.ENDPOINTS,
)
