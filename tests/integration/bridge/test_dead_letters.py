"""Dead letters by HTTP and by command line: seen, sent again, dropped; each workspace its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest
from click.testing import CliRunner

from contacts_api.app import create_app
from contacts_api.server import listen, serving
from contacts_api.services import open_services
from rollbook.__main__ import main
from rollbook.embedded.nats import Nats
from servicekit.dead_letters import dead_letters
from tests.integration.api.conftest import Api
from tests.integration.bridge.inbox_rig import InboxRig, body, open_rig, plain


@pytest.fixture
async def inbox(database: str, private_nats: Callable[..., Nats]) -> AsyncIterator[InboxRig]:
    nats = await asyncio.to_thread(private_nats)
    async with open_rig(database, nats.url) as rig:
        await rig.start()
        yield rig


@asynccontextmanager
async def api_of(inbox: InboxRig) -> AsyncIterator[Api]:
    """With the keys of the same installation."""
    sock = listen("127.0.0.1", 0)
    async with open_services(inbox.settings) as services, serving(create_app(services), sock, grace_s=1):
        api = Api(f"http://127.0.0.1:{sock.getsockname()[1]}", services)
        try:
            yield api
        finally:
            await api.close_clients()


async def test_a_workspace_sees_its_own_dead_letters_and_sends_them_again(inbox: InboxRig) -> None:
    async with api_of(inbox) as api:
        tenant, other = await api.tenant(), await api.tenant()
        inbox.workspace_id = tenant.workspace_id
        await inbox.send(
            plain("d-1", contact={"external_id": "soon"}),
            ("message.clicked", b"\xff\xfe", None),
            plain("d-3", data={"channel": "email", "urll": "x"}),
        )
        await inbox.empty()
        first = (await tenant.owner.get("/v1/dead-letters", params={"limit": 2})).json()
        assert first["total"] == {"count": 3, "exact": True}
        early, binary = first["items"]
        assert (early["kind"], early["reason"]["code"], early["attempts"]) == ("message.clicked", "contact-unknown", 1)
        assert msgspec.json.decode(early["message"]) == body("d-1", contact={"external_id": "soon"})
        assert (binary["encoding"], binary["message"]) == ("base64", "//4=")
        rest = (await tenant.owner.get("/v1/dead-letters", params={"cursor": first["next_cursor"]})).json()
        (mistyped,) = rest["items"]
        assert mistyped["reason"]["errors"][0]["pointer"] == "/data/urll"
        assert rest["next_cursor"] is None
        path = f"/v1/dead-letters/{early['id']}"
        assert (await tenant.owner.get(path)).json() == early
        for foreign in (other.owner.get(path), other.owner.post(f"{path}/retry"), other.owner.delete(path)):
            assert (await foreign).status_code == 404
        await tenant.contact(external_id="soon")
        key = {"Idempotency-Key": "again"}
        assert (await tenant.owner.post(f"{path}/retry", headers=key)).status_code == 204
        assert (await tenant.owner.post(f"{path}/retry", headers=key)).status_code == 204
        assert (await tenant.owner.post(f"{path}/retry")).status_code == 404
        assert (await tenant.owner.delete(f"/v1/dead-letters/{binary['id']}")).status_code == 204
        await inbox.empty()
        left = (await tenant.owner.get("/v1/dead-letters")).json()
        assert [each["id"] for each in left["items"]] == [mistyped["id"]]
        timeline = await tenant.owner.get("/v1/contacts", params={"sort": "-last_interaction_at", "limit": 1})
        assert timeline.status_code == 200


async def test_the_command_line_lists_retries_and_drops(inbox: InboxRig, monkeypatch: pytest.MonkeyPatch) -> None:
    await inbox.begin()
    await inbox.send(plain("e-1", contact={"external_id": "late"}), ("message.clicked", b"[1]", None))
    await inbox.empty()
    monkeypatch.setenv("ROLLBOOK_NATS_URL", inbox.nats_url)
    monkeypatch.setenv("COLUMNS", "200")

    async def call(*arguments: str) -> str:
        result = await asyncio.to_thread(CliRunner().invoke, main, ["bridge", "dead", *arguments])
        assert result.exit_code == 0, result.output
        return result.output

    early, broken = await inbox.letters()
    listed = await call("list")
    assert early.id in listed
    assert broken.id in listed
    await inbox.create(external_id="late")
    await call("retry", early.id)
    await inbox.empty()
    assert await inbox.recorded() == {"e-1": 1}
    await call("drop", "--all", "--workspace", str(inbox.workspace_id))
    async with dead_letters(inbox.nats_url, application="test") as dead:
        assert await dead.list() == []
    missing = await asyncio.to_thread(CliRunner().invoke, main, ["bridge", "dead", "drop", early.id])
    assert missing.exit_code == 1
