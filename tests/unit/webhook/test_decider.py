"""Webhook rules without a log: given these events, when asked this, then these events or this refusal."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from contacts.webhook import commands as c
from contacts.webhook import events as e
from contacts.webhook.decider import Webhook, decide, evolve, initial
from contacts.webhook.refusals import WebhookAlreadyExists, WebhookIsDisabled, WebhookNotFound
from contacts.webhook.secrets import shown, signature
from tests.unit.scenario import AT

SHOP, HOOK = UUID(int=1), UUID(int=2)
CREATED = e.WebhookCreated(url="https://example.com", events=("contact.*",), secret=b"one")


def given(*events: Any) -> Webhook:
    webhook = initial(HOOK)
    for event in events:
        webhook = evolve(webhook, event, AT)
    return webhook


def asked(type_: type[Any], **fields: Any) -> Any:
    return type_(workspace_id=SHOP, webhook_id=HOOK, **fields)


def create() -> c.CreateWebhook:
    return asked(c.CreateWebhook, url="https://example.com", events=("contact.*",), description=None, secret=b"one")  # type: ignore[no-any-return]


def test_a_webhook_is_created_once() -> None:
    assert decide(create(), given()) == [CREATED]
    with pytest.raises(WebhookAlreadyExists):
        decide(create(), given(CREATED))


def test_only_what_changes_is_recorded() -> None:
    command = asked(c.ChangeWebhook, url="https://example.com", description="Shop", enabled=True)
    assert decide(command, given(CREATED)) == [e.WebhookChanged(description="Shop")]


def test_it_is_switched_off_and_on() -> None:
    off = decide(asked(c.ChangeWebhook, enabled=False), given(CREATED))
    assert off == [e.WebhookDisabled(cause="by_hand")]
    assert decide(asked(c.ChangeWebhook, enabled=True), given(CREATED, *off)) == [e.WebhookEnabled()]
    assert decide(asked(c.DisableWebhook, cause="failing", failing_since=AT), given(CREATED, *off)) == []
    with pytest.raises(WebhookIsDisabled):
        decide(asked(c.SendTest), given(CREATED, *off))


def test_the_old_secret_signs_until_its_end() -> None:
    rotated = e.WebhookSecretRotated(secret=b"two", old_until=AT + timedelta(hours=1))
    webhook = given(CREATED, rotated)
    assert webhook.secrets(AT) == (b"two", b"one")
    assert webhook.secrets(AT + timedelta(hours=1)) == (b"two",)


def test_nothing_can_be_asked_of_a_deleted_one_but_to_delete_it() -> None:
    webhook = given(CREATED, e.WebhookDeleted())
    assert decide(asked(c.DeleteWebhook), webhook) == []
    for command in (asked(c.ReplayWebhook, after=0), asked(c.SendTest), asked(c.ChangeWebhook, enabled=True)):
        with pytest.raises(WebhookNotFound):
            decide(command, webhook)
    assert webhook.secret == b""


def test_events_are_chosen_by_name_and_by_kind() -> None:
    webhook = given(e.WebhookCreated(url="https://example.com", events=("contact.*", "merge.completed"), secret=b""))
    assert [name for name in ("contact.created", "merge.completed", "merge.reversed") if webhook.wants(name)] == [
        "contact.created",
        "merge.completed",
    ]
    assert given(e.WebhookCreated(url="https://example.com", secret=b"")).wants("proof.recorded")
    assert not webhook.wants("webhook.test_requested")


def test_the_signature_is_the_one_of_the_standard() -> None:
    # The example of the specification.
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    import base64

    key = base64.b64decode(secret.removeprefix("whsec_"))
    assert shown(key) == secret
    found = signature([key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
