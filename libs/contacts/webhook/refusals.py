"""Why a command about a webhook was refused."""

from __future__ import annotations

from uuid import UUID

from contacts.errors import Refusal


class WebhookNotFound(Refusal):
    """No such webhook in this workspace; also the answer for one that was deleted or is another workspace's."""

    def __init__(self, webhook_id: UUID) -> None:
        super().__init__(f"webhook {webhook_id} does not exist")
        self.webhook_id = webhook_id


class WebhookAlreadyExists(Refusal):
    """The id of a new webhook is in use."""

    def __init__(self, webhook_id: UUID) -> None:
        super().__init__(f"webhook {webhook_id} exists already")
        self.webhook_id = webhook_id


class WebhookIsDisabled(Refusal):
    """Nothing is delivered to a disabled webhook."""

    def __init__(self, webhook_id: UUID) -> None:
        super().__init__(f"webhook {webhook_id} is disabled; enable it first")
        self.webhook_id = webhook_id
