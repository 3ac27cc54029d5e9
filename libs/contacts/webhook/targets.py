"""Where a webhook may lead: addresses of the public internet over HTTPS, unless an installation allows more. No I/O."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final, Literal, TypeAlias
from urllib.parse import urlsplit

from contacts.errors import InvalidValue

#: What an installation allows: the public internet over HTTPS only, or every address, also over HTTP.
Reach: TypeAlias = Literal["public", "any"]
URL_MAX: Final = 2_048
_EXPECTED: Final = "an https URL of a host that the internet can reach, without user, password and fragment"
#: IPv6 addresses that lead to an IPv4 address inside them.
_NAT64: Final = ip_network("64:ff9b::/96")


def parse_target(text: str, reach: Reach) -> str:
    """The URL as given. Only its form and a literal address can be judged here. Raises InvalidValue."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise InvalidValue("is no URL", _EXPECTED) from None
    if len(text) > URL_MAX or not text.isascii() or not text.isprintable() or " " in text:
        raise InvalidValue(f"is longer than {URL_MAX} characters or holds others than visible ASCII", _EXPECTED)
    if parts.scheme not in (("https",) if reach == "public" else ("https", "http")):
        raise InvalidValue("is not https", _EXPECTED)
    if not host or port == 0 or parts.username is not None or parts.password is not None or "#" in text:
        raise InvalidValue("has no host, or what a target may not have", _EXPECTED)
    if reach == "public" and _is_literal_inside(host):
        raise InvalidValue("leads to an address that is not public", _EXPECTED)
    return text


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet, also where it is written inside another one."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return all(map(_is_reachable, _meant(found)))


def _is_reachable(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address) and address.is_site_local:
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _meant(address: IPv4Address | IPv6Address) -> list[IPv4Address | IPv6Address]:
    if isinstance(address, IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    inside: list[IPv4Address | IPv6Address] = [each for each in (address.sixtofour,) if each is not None]
    if address.teredo is not None:
        inside += address.teredo
    if address in _NAT64:
        return [IPv4Address(address.packed[-4:])]
    return [address, *inside]


def _is_literal_inside(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return not is_public(host)
