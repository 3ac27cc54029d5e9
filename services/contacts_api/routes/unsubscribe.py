"""One-click unsubscribe (RFC 8058): making links, the page a person sees, and the request that takes effect."""

from __future__ import annotations

import asyncio
import html
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec

from contacts.addresses import Address, Channel, parse_channel
from contacts.consent.input import parse_category
from contacts.consent.links import ONE_CLICK, InvalidLink, Target
from contacts.consent.reach import addresses_on
from contacts.contact.input import parse_field
from contacts.errors import InvalidInput, InvalidValue, TooContended
from contacts.execution import Request
from contacts.proof import Proof
from contacts.workspace.permissions import Action
from contacts_api import examples
from contacts_api.answer import Answer, json_answer
from contacts_api.decoding import Fault, Malformed
from contacts_api.endpoint import PUBLIC, Endpoint, Nothing, Returns, endpoint
from contacts_api.forms import FORM_TYPES
from contacts_api.request import Call
from contacts_api.routes.consents import TAG
from contacts_api.routes.may_send import MAY_SEND_BYTES_MAX, Addresses, Contacts
from contacts_api.suppression_views import LinksView, LinkView
from eventstore.envelope import Metadata

HTML: Final = b"text/html; charset=utf-8"
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
_PAGE: Final = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex"><title>Unsubscribe</title>
<style>body{{font:1.1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:15vh auto;padding:0 1rem}}
button{{font:inherit;padding:.6rem 1.2rem;border-radius:.4rem;border:1px solid;cursor:pointer}}</style>
<main>{content}</main>
</html>
"""
_QUESTION: Final = """\
<h1>Unsubscribe</h1><p>You will get no more {what}.</p>
<form method="post"><input type="hidden" name="List-Unsubscribe" value="One-Click">
<button>Unsubscribe</button></form>"""
_DONE: Final = "<h1>You are unsubscribed</h1><p>You will get no more {what}.</p>"


class TokenPath(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The token of a link."""

    token: str


class OneClickInput(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a mail provider sends, and the page as well."""

    list_unsubscribe: Literal["One-Click"] = msgspec.field(name="List-Unsubscribe")


class LinksInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Whom messages go to, over which channel, and where this service is reached from outside."""

    #: Where people reach this service, such as `https://mail.example.com`.
    base_url: Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s/?#<>]+(/[^\s?#<>]*)?$", max_length=500)]
    channel: str = "email"
    #: A link that unsubscribes from one category only.
    category: str | None = None
    contacts: Contacts | None = None
    addresses: Addresses | None = None


@endpoint(
    "POST",
    "/v1/unsubscribe-links",
    action=Action.SUPPRESSIONS_READ,
    tag=TAG,
    body_bytes_max=MAY_SEND_BYTES_MAX,
    examples=examples.LINKS,
    returns=Returns(200, "The links, in the order of the question", LinksView),
    refuses=(InvalidInput, TooContended),
)
async def make_unsubscribe_links(call: Call[Nothing, Nothing, LinksInput]) -> Answer:
    """Make unsubscribe links for messages, with the two headers that one-click unsubscribe needs (RFC 8058).

    Whoever has a link can unsubscribe that address without logging in, and learns nothing from it. Links never expire.
    Nothing is recorded, so a repeat answers other links that do the same.
    """
    body = call.body
    channel = parse_field("/channel", parse_channel, body.channel)
    category = None if body.category is None else parse_field("/category", parse_category, body.category)
    if (body.contacts is None) == (body.addresses is None):
        raise Malformed(Fault("either `contacts` or `addresses` is needed, and not both", pointer=""))
    targets = (
        await _of_contacts(call, channel, category, body.contacts)
        if body.contacts is not None
        else await _of_addresses(call, channel, category, body.addresses or [])
    )
    return json_answer(200, LinksView(tuple(_link(call, target) for target in targets)))


async def _of_contacts(
    call: Call[Any, Any, Any], channel: Channel, category: str | None, contact_ids: list[UUID]
) -> list[Target | None]:
    services, workspace_id = call.services, call.caller.workspace_id
    # All at once, which the log answers in few queries.
    found = await asyncio.gather(*(services.contact_handler.load(workspace_id, each) for each in contact_ids))
    reached = ((contact, addresses_on(channel, contact, services.address_keys)) for contact in found if contact.exists)
    targets = {contact.id: _target(call, channel, category, to[0], contact.id) for contact, to in reached if to}
    return [targets.get(contact.id) for contact in found]


async def _of_addresses(
    call: Call[Any, Any, Any], channel: Channel, category: str | None, texts: list[str]
) -> list[Target | None]:
    services = call.services
    region = (await services.workspaces.get(call.caller.workspace_id)).settings.default_region
    targets: list[Target | None] = []
    for text in texts:
        try:
            address = services.address_keys.parse(channel, text, region)
        except InvalidValue:
            targets.append(None)
        else:
            targets.append(_target(call, channel, category, address, None))
    return targets


def _target(
    call: Call[Any, Any, Any], channel: Channel, category: str | None, address: Address, contact_id: UUID | None
) -> Target:
    return Target(call.caller.workspace_id, channel, address.widest, address.exact, category, contact_id)


def _link(call: Call[Nothing, Nothing, LinksInput], target: Target | None) -> LinkView:
    if target is None:
        return LinkView(None, {})
    url = f"{call.body.base_url.rstrip('/')}/unsubscribe/{call.services.unsubscribe_links.seal(target)}"
    headers = {"List-Unsubscribe": f"<{url}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
    return LinkView(url, headers)


@endpoint(
    "GET",
    "/unsubscribe/{token}",
    action=PUBLIC,
    tag=TAG,
    returns=Returns(200, "A page with a button", str, media_type="text/html"),
    refuses=(InvalidLink,),
)
async def unsubscribe_page(call: Call[TokenPath, Nothing, Nothing]) -> Answer:
    """Show a person what the link is about. It changes nothing, for programs follow links as well."""
    target = _opened(call)
    return _page(_QUESTION.format(what=_what(target)))


@endpoint(
    "POST",
    "/unsubscribe/{token}",
    action=PUBLIC,
    tag=TAG,
    media_types=FORM_TYPES,
    examples={"as mail providers send it": {"List-Unsubscribe": "One-Click"}},
    returns=Returns(200, "The person is unsubscribed", str, media_type="text/html"),
    refuses=(InvalidLink, TooContended),
)
async def unsubscribe_by_link(call: Call[TokenPath, Nothing, OneClickInput]) -> Answer:
    """Unsubscribe the address of the link, without logging in (RFC 8058). A repeat changes nothing."""
    target = _opened(call)
    client = call.scope.get("client")
    user_agent = call.headers.get(b"user-agent", b"").decode("latin-1").strip()[:500]
    proof = Proof(source=ONE_CLICK, ip=client[0] if client else None, user_agent=user_agent or None)
    command = target.objection(proof, call.services.address_keys.proof_digest(proof))
    metadata = Metadata(actor="system:unsubscribe", source=ONE_CLICK, correlation_id=call.request_id)
    kept = (target.workspace_id, 0)
    recorded = await call.services.facts.record(target.workspace_id, [command], Request(metadata=metadata), kept)
    return _page(_DONE.format(what=_what(target))).header(b"rollbook-position", recorded.appended.token)


def _opened(call: Call[TokenPath, Any, Any]) -> Target:
    return call.services.unsubscribe_links.open(call.path.token)


def _what(target: Target) -> str:
    name = {"email": "e-mail", "sms": "text messages"}.get(target.channel, "messages")
    return f"{name} about “{html.escape(target.category)}”" if target.category else name


def _page(content: str) -> Answer:
    answer = Answer(200, _PAGE.format(content=content).encode(), HTML)
    answer.header(b"referrer-policy", "no-referrer")
    return answer.header(b"content-security-policy", _POLICY)


ENDPOINTS: Final[tuple[Endpoint, ...]] = (make_unsubscribe_links, unsubscribe_page, unsubscribe_by_link)
