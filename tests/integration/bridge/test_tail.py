"""`rollbook events tail` against a real stream."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import msgspec
import pytest

from contacts.contact.events import ContactBlocked, ContactTagged
from rollbook.events import print_events
from tests.integration.bridge.rig import Rig, stop
from tests.support.waiting import until


async def shown(capsys: pytest.CaptureFixture[str], rig: Rig, **options: object) -> list[str]:
    await print_events(rig.server.url, **options)  # type: ignore[arg-type]
    return [line for line in capsys.readouterr().out.splitlines() if "  v" in line or line.startswith("{")]


async def test_the_last_events_are_shown_in_words(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    contact_id = await rig.contact(edits=30)
    await rig.append(contact_id, 31, ContactTagged(tags=("vip",)))
    rig.start(rig.relay())
    await rig.caught_up()

    lines = await shown(capsys, rig, workspace=rig.workspace_id)

    assert len(lines) == 20
    assert lines[-1].split()[0] == "0.32"
    assert lines[-1].split()[3:] == ["contact.tagged", str(contact_id), "v32", "count=1"]
    assert lines[-2].split()[3:] == ["contact.details_changed", str(contact_id), "v31", "first_name"]


async def test_a_position_and_a_workspace_can_be_chosen(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    await rig.contact(edits=30)
    rig.workspace_id = other = uuid4()
    await rig.contact()
    rig.start(rig.relay())
    await rig.caught_up()

    assert [line.split()[0] for line in await shown(capsys, rig, first=29)] == ["0.29", "0.30", "0.31", "0.32"]
    only = await shown(capsys, rig, first=1, workspace=other, as_json=True)
    assert [msgspec.json.decode(line)["position"] for line in only] == ["0.32"]


async def test_following_goes_on_over_a_restart_of_the_server(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    contact_id = await rig.contact()
    rig.start(rig.relay())
    await rig.caught_up()
    following = asyncio.ensure_future(print_events(rig.server.url, first=1, follow=True))
    text = ""

    def seen(name: str) -> bool:
        nonlocal text
        text += capsys.readouterr().out
        return name in text

    try:
        await until(lambda: seen("contact.created"))
        await asyncio.to_thread(rig.server.kill)
        await asyncio.to_thread(rig.server.start)
        await rig.append(contact_id, 1, ContactBlocked())
        await until(lambda: seen("contact.blocked"))
    finally:
        await stop(following)


async def test_without_a_stream_it_says_so(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        await print_events(rig.server.url)
    assert "Nothing has been published yet" in capsys.readouterr().err
