"""Which addresses are public, and which URLs may be targets: a list of the ways around it that are known."""

from __future__ import annotations

import asyncio

import httpcore2
import pytest

from contacts.errors import InvalidValue
from contacts.webhook.targets import is_public, parse_target
from contacts_bridge.webhooks.sender import Sender, TargetNotPublic, _Guarded

INSIDE = [
    "127.0.0.1",
    "127.8.9.10",
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "169.254.169.254",
    "169.254.0.1",
    "100.64.0.1",
    "192.0.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd12:3456::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2002:a00:1::",
    "2001:db8::1",
    "2001::1",
    "100::1",
    "::127.0.0.1",
    "fec0::1",
    "nonsense",
]
OUTSIDE = ["8.8.8.8", "1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]


@pytest.mark.parametrize("address", INSIDE)
def test_addresses_that_are_not_of_the_public_internet_are_known(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", OUTSIDE)
def test_public_addresses_are_let_through(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        *(
            f"https://{f'[{each}]' if ':' in each else each}/"
            for each in INSIDE
            if each != "nonsense" and "%" not in each
        ),
        "http://example.com",
        "https://",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://a@example.com/",
        "https://exämple.com/",
        "https://example.com/\nx",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "https://example.com/" + "x" * 2048,
    ],
)
def test_urls_that_lead_elsewhere_are_refused(url: str) -> None:
    with pytest.raises(InvalidValue):
        parse_target(url, "public")


#: Spellings of 127.0.0.1 that a resolver understands: only the connect can tell.
@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f000001", "017700000001", "0", "localhost."])
async def test_what_a_name_leads_to_is_checked_when_it_is_connected_to(host: str) -> None:
    connected = []
    server = await asyncio.start_server(lambda *_: connected.append(True), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    sender = Sender("public")
    sent = await sender.send(f"http://{host}:{port}/", id_="1", body=b"{}", keys=[b"k"])
    await sender.close()
    server.close()
    assert sent.reason in ("the target is not a public address", "no connection")
    assert not connected


async def test_one_private_address_among_public_ones_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [(0, 0, 0, "", ("8.8.8.8", 443)), (0, 0, 0, "", ("10.0.0.1", 443))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve, raising=False)
    with pytest.raises(TargetNotPublic):
        await _Guarded("public").connect_tcp("rebinding.example.com", 443)


async def test_no_file_is_a_target() -> None:
    with pytest.raises(httpcore2.ConnectError):
        await _Guarded("any").connect_unix_socket("/run/x.sock")
