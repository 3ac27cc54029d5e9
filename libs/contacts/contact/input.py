"""What callers send for a contact, and its one way into commands: every edge (HTTP, NATS, import) parses here. No I/O.

The structs are decoded by msgspec as they are; the functions parse every field, collect all that is wrong and raise it
as one `InvalidInput` with JSON pointers.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, TypeVar, cast
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from contacts import values
from contacts.attributes import RawAttributeValue, parse_attribute, parse_url
from contacts.contact.commands import AddressDetails, CreateContact, Details, EditContact, UpsertContact, UpsertKind
from contacts.contact.events import ChannelIdentity, Location
from contacts.emails import email_normal, parse_email
from contacts.errors import InvalidField, InvalidInput, InvalidValue
from contacts.faults import Faults
from contacts.phones import parse_phone
from contacts.workspace.state import Workspace

T = TypeVar("T")


class _Input(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """Shared shape of what callers send: unknown fields are refused."""


class AddressInput(_Input, frozen=True, kw_only=True):
    street: str | UnsetType | None = UNSET
    city: str | UnsetType | None = UNSET
    region: str | UnsetType | None = UNSET
    postcode: str | UnsetType | None = UNSET
    country: str | UnsetType | None = UNSET


class LocationInput(_Input, frozen=True, kw_only=True):
    latitude: float
    longitude: float
    source: str | None = None
    at: datetime | None = None


class ChannelInput(_Input, frozen=True, kw_only=True):
    kind: str
    token: str
    application: str | None = None
    device: str | None = None


class ContactInput(_Input, frozen=True, kw_only=True):
    """Any subset of a profile: a merge-patch (RFC 7396), so null clears and sets are replaced as a whole."""

    external_id: str | UnsetType | None = UNSET
    messaging_id: str | UnsetType | None = UNSET
    first_name: str | UnsetType | None = UNSET
    last_name: str | UnsetType | None = UNSET
    email: str | UnsetType | None = UNSET
    phone: str | UnsetType | None = UNSET
    country: str | UnsetType | None = UNSET
    time_zone: str | UnsetType | None = UNSET
    language: str | UnsetType | None = UNSET
    address: AddressInput | UnsetType | None = UNSET
    location: LocationInput | UnsetType | None = UNSET
    avatar_url: str | UnsetType | None = UNSET
    assignee: str | UnsetType | None = UNSET
    campaign_opt_in: bool | UnsetType | None = UNSET
    tags: list[str] | UnsetType | None = UNSET
    lists: list[UUID] | UnsetType | None = UNSET
    categories: list[str] | UnsetType | None = UNSET
    attributes: dict[str, RawAttributeValue | None] | UnsetType | None = UNSET


class NewContactInput(ContactInput, frozen=True, kw_only=True):
    """A profile and what only a creation can say."""

    channels: list[ChannelInput] = []
    #: Somebody vouches that the person agreed; demanded where `source` is `manual`.
    consent_attested: bool = False
    #: How the contact came about; None leaves it to the edge.
    source: str | None = None


def create_contact(
    new: NewContactInput, workspace: Workspace, *, contact_id: UUID, source: str = "api"
) -> CreateContact:
    """`source` is used where the caller names none. Raises InvalidInput."""
    fault = Faults()
    details = _details(new, workspace, fault)
    channels = tuple(_channel(channel, f"/channels/{i}", fault) for i, channel in enumerate(new.channels))
    source = source if new.source is None else fault.parse("/source", values.parse_source, new.source) or source
    fault.raise_if_any()
    return CreateContact(
        workspace_id=workspace.id,
        contact_id=contact_id,
        source=source,
        details=details,
        channels=channels,
        consent_attested=new.consent_attested,
        external_id_required=workspace.settings.external_id_required,
        double_opt_in=workspace.settings.double_opt_in,
    )


def edit_contact(patch: ContactInput, workspace: Workspace, *, contact_id: UUID) -> EditContact:
    """Raises InvalidInput."""
    fault = Faults()
    details = _details(patch, workspace, fault)
    fault.raise_if_any()
    return EditContact(
        workspace_id=workspace.id,
        contact_id=contact_id,
        details=details,
        external_id_required=workspace.settings.external_id_required,
        double_opt_in=workspace.settings.double_opt_in,
    )


def upsert_contact(
    by: UpsertKind, value: str, new: NewContactInput, workspace: Workspace, *, contact_id: UUID, source: str = "api"
) -> UpsertContact:
    """`contact_id` is for a creation. Raises InvalidInput, also where the body names another `by` than `value`."""
    fault = Faults()
    key = fault.parse(f"/{by}", lambda text: _FIELD_PARSERS[by](text, workspace), value)
    fault.raise_if_any()
    create = create_contact(new, workspace, contact_id=contact_id, source=source)
    said = getattr(create.details, by)
    if said is UNSET:
        create = msgspec.structs.replace(create, details=msgspec.structs.replace(create.details, **{by: key}))
    elif said is None or upsert_key(by, said) != upsert_key(by, cast("str", key)):
        raise InvalidInput([InvalidField(f"/{by}", "differs from the one addressed", "the same value, or none")])
    edit = EditContact(
        workspace_id=workspace.id,
        contact_id=contact_id,
        # What the key alone said is known already, and spelt as it was first typed.
        details=create.details if said is not UNSET else msgspec.structs.replace(create.details, **{by: UNSET}),
        external_id_required=create.external_id_required,
        double_opt_in=create.double_opt_in,
    )
    return UpsertContact(
        workspace_id=workspace.id, contact_id=contact_id, by=by, value=cast("str", key), create=create, edit=edit
    )


def upsert_key(by: UpsertKind, value: str) -> str:
    """Under which text a parsed key is looked up and held: e-mails by their normal form, all others as they are."""
    return email_normal(values.Email(value)) if by == "email" else value


def parse_channel(channel: ChannelInput) -> ChannelIdentity:
    """Raises InvalidInput."""
    fault = Faults()
    parsed = _channel(channel, "", fault)
    fault.raise_if_any()
    return parsed


def parse_tags(tags: list[str], pointer: str = "/tags") -> tuple[values.Tag, ...]:
    """Raises InvalidInput."""
    fault = Faults()
    parsed = _each(tags, pointer, values.parse_tag, fault)
    fault.raise_if_any()
    return parsed


def parse_field(pointer: str, parser: Callable[[str], T], value: str) -> T:
    """One value on its own, e.g. a reason. Raises InvalidInput."""
    fault = Faults()
    parsed = fault.parse(pointer, parser, value)
    fault.raise_if_any()
    return cast("T", parsed)


# Every text field that has a parser of its own; the workspace brings the region for phones.
_FIELD_PARSERS: Final[dict[str, Callable[[str, Workspace], object]]] = {
    "external_id": lambda text, _: values.parse_external_id(text),
    "messaging_id": lambda text, _: values.parse_external_id(text),
    "first_name": lambda text, _: values.parse_name(text),
    "last_name": lambda text, _: values.parse_name(text),
    "email": lambda text, _: parse_email(text),
    "phone": lambda text, workspace: parse_phone(text, workspace.settings.default_region),
    "country": lambda text, _: values.parse_country(text),
    "time_zone": lambda text, _: values.parse_time_zone(text),
    "language": lambda text, _: values.parse_language(text),
    "avatar_url": lambda text, _: parse_url(text),
    "assignee": lambda text, _: values.parse_line(text),
}


def _details(sent: ContactInput, workspace: Workspace, fault: Faults) -> Details:
    parsed: dict[str, Any] = {}
    for name, parser in _FIELD_PARSERS.items():
        value = getattr(sent, name)
        if value is UNSET:
            continue
        try:
            parsed[name] = None if value is None else parser(value, workspace)
        except InvalidValue as error:
            fault.add(f"/{name}", error)
    if sent.address is not UNSET:
        parsed["address"] = sent.address and _address(sent.address, fault)
    if sent.location is not UNSET:
        parsed["location"] = sent.location and _location(sent.location, fault)
    if sent.attributes is not UNSET:
        parsed["attributes"] = sent.attributes and _attributes(sent.attributes, workspace, fault)
    if sent.tags is not UNSET:
        parsed["tags"] = _each(sent.tags or [], "/tags", values.parse_tag, fault)
    if sent.categories is not UNSET:
        parsed["categories"] = _each(sent.categories or [], "/categories", values.parse_category, fault)
    if sent.lists is not UNSET:
        parsed["lists"] = tuple(sent.lists or ())
    return Details(campaign_opt_in=sent.campaign_opt_in, **parsed)


def _each(texts: list[str], pointer: str, parser: Callable[[str], T], fault: Faults) -> tuple[T, ...]:
    parsed = [fault.parse(f"{pointer}/{i}", parser, text) for i, text in enumerate(texts)]
    return tuple(item for item in parsed if item is not None)


def _address(sent: AddressInput, fault: Faults) -> AddressDetails:
    parts: dict[str, Any] = {}
    for name in sent.__struct_fields__:
        value = getattr(sent, name)
        if value is not UNSET:
            parser = values.parse_country if name == "country" else values.parse_line
            parts[name] = value if value is None else fault.parse(f"/address/{name}", parser, value)
    return AddressDetails(**parts)


def _location(sent: LocationInput, fault: Faults) -> Location:
    return Location(
        latitude=fault.parse("/location/latitude", values.parse_latitude, sent.latitude) or 0.0,
        longitude=fault.parse("/location/longitude", values.parse_longitude, sent.longitude) or 0.0,
        source=None if sent.source is None else fault.parse("/location/source", values.parse_kind, sent.source),
        at=None if sent.at is None else fault.parse("/location/at", values.parse_instant, sent.at),
    )


def _channel(sent: ChannelInput, pointer: str, fault: Faults) -> ChannelIdentity:
    optional = {
        name: None if value is None else fault.parse(f"{pointer}/{name}", values.parse_line, value)
        for name, value in (("application", sent.application), ("device", sent.device))
    }
    return ChannelIdentity(
        kind=fault.parse(f"{pointer}/kind", values.parse_kind, sent.kind) or "",
        token=fault.parse(f"{pointer}/token", values.parse_token, sent.token) or "",
        **optional,
    )


def _attributes(
    sent: dict[str, RawAttributeValue | None], workspace: Workspace, fault: Faults
) -> dict[str, values.AttributeValue | None]:
    return {key: _attribute(key, value, workspace, fault) for key, value in sent.items()}


def _attribute(
    key: str, value: RawAttributeValue | None, workspace: Workspace, fault: Faults
) -> values.AttributeValue | None:
    # RFC 6901: `~` and `/` inside a pointer's part are escaped.
    pointer = "/attributes/" + key[:100].replace("~", "~0").replace("/", "~1")
    definition = workspace.attributes.get(key)
    if definition is None:
        fault.add(pointer, InvalidValue("is not defined in this workspace", "the key of a defined attribute"))
    elif definition.level == "conversation":
        fault.add(pointer, InvalidValue("is filled from conversations", "an attribute of the contact"))
    elif value is not None and definition.archived:
        fault.add(pointer, InvalidValue("is archived", "null, or another attribute"))
    elif value is not None:
        region = workspace.settings.default_region
        return fault.parse(pointer, lambda raw: parse_attribute(definition, raw, region), value)
    return None
