"""One recorded event of every type, with every field of its struct filled, and each text in it unmistakable."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import msgspec

from contacts import proof
from contacts.activity import events as activity
from contacts.consent import events as consent
from contacts.contact import events as contact
from contacts.duplicate import events as duplicate
from contacts.erasure import events as erasure
from contacts.lists import events as lists
from contacts.merge import events as merge
from contacts.segment import events as segment
from contacts.suppression import events as suppression
from contacts.values import Country, Email, ExternalId, Language, Phone, Tag, TimeZone
from contacts.webhook import events as webhook
from contacts.workspace import events as workspace
from eventstore.envelope import Metadata, RecordedEvent

WORKSPACE_ID = UUID("0197b0e0-0000-7000-8000-000000000001")
NOW = datetime(2026, 3, 1, 12, 30, 15, 250_000, tzinfo=UTC)

_CHANNEL = contact.ChannelIdentity(
    kind="mobile_push", token="secret-token", application="shop", device="secret-device"
)  # fmt: skip
_ADDRESS = contact.Address(
    street="Secretstreet", city="Secretcity", region="Secretregion", postcode="secret-postcode", country=Country("DE")
)

_SAID: dict[str, Any] = {
    "address": b"secret-digest-16", "exact": b"secret-digest-17", "channel": "sms", "source": "api",
    "contact_id": uuid4(),
}  # fmt: skip
_LISTED: dict[str, Any] = {
    "address": b"secret-digest-16", "family": "email", "source": "event", "contact_id": uuid4(),
}  # fmt: skip

#: Every text that could be about a person starts with "secret" in some spelling.
EVENTS: dict[str, msgspec.Struct] = {
    "contact.created": contact.ContactCreated(
        source="api",
        external_id=ExternalId("secret-external"),
        messaging_id=ExternalId("secret-messaging"),
        first_name="Secretfirst",
        last_name="Secretlast",
        email=Email("secret@example.com"),
        phone=Phone("+4930123456"),
        country=Country("DE"),
        time_zone=TimeZone("Europe/Berlin"),
        language=Language("de"),
        address=_ADDRESS,
        location=contact.Location(latitude=52.5, longitude=13.4, source="gps", at=NOW),
        avatar_url="https://secret.example.com",
        assignee="secret-assignee",
        campaign_opt_in=True,
        tags=(Tag("secret-tag"),),
        lists=(uuid4(),),
        categories=("secret-category",),
        attributes={"shoe_size": 43, "nickname": "secret-nick"},
        channels=(_CHANNEL,),
        consent_attested=True,
    ),
    "contact.details_changed": contact.ContactDetailsChanged(
        first_name="Secretfirst",
        last_name=None,
        address=_ADDRESS,
        attributes={"nickname": "secret-nick", "shoe_size": None},
        lists_added=(uuid4(),),
        lists_removed=(uuid4(),),
        categories_added=("secret-category",),
    ),
    "contact.tagged": contact.ContactTagged(tags=(Tag("secret-tag"),)),
    "contact.untagged": contact.ContactUntagged(tags=(Tag("secret-tag"),)),
    "contact.listed": contact.ContactListed(lists=(uuid4(),)),
    "contact.unlisted": contact.ContactUnlisted(lists=(uuid4(),)),
    "contact.channel_connected": contact.ContactChannelConnected(channel=_CHANNEL, connected_at=NOW),
    "contact.channel_seen": contact.ContactChannelSeen(
        kind="telegram", token="secret-token", seen_at=NOW, application="bot"
    ),
    "contact.channel_disconnected": contact.ContactChannelDisconnected(
        kind="telegram", token="secret-token", application="bot", reason="secret reason"
    ),
    "contact.blocked": contact.ContactBlocked(reason="secret reason"),
    "contact.unblocked": contact.ContactUnblocked(reason="secret reason"),
    "contact.deleted": contact.ContactDeleted(reason="secret reason"),
    "contact.restored": contact.ContactRestored(reason="secret reason"),
    "contact.merged": contact.ContactMerged(merge_id=uuid4(), others=(uuid4(),), choices={"first_name": uuid4()}),
    "contact.absorbed": contact.ContactAbsorbed(merge_id=uuid4(), into=uuid4()),
    "contact.unmerged": contact.ContactUnmerged(
        merge_id=uuid4(),
        contacts=(uuid4(),),
        mode="single",
        reattached=(contact.Reattached(contact=uuid4(), merge_id=uuid4(), instead_of=uuid4()),),
        given={"tags\x1fsecret-tag": contact.Given(since=3, touched=2)},
    ),
    "contact.reinstated": contact.ContactReinstated(merge_id=uuid4(), out_of=uuid4(), mode="single"),
    "contact.erased": contact.ContactErased(erasure_id=uuid4(), reason="person_asked"),
    "erasure.completed": erasure.ErasureCompleted(
        contact_id=uuid4(),
        contacts=(uuid4(), uuid4()),
        reason="person_asked",
        streams=(
            erasure.ErasedStream(category="contact", stream_id=uuid4(), events=3, first_position=7, last_position=11),
        ),
    ),
    "duplicate.dismissed": duplicate.DuplicateDismissed(by="likely", contacts=(uuid4(), uuid4())),
    "merge.completed": merge.MergeCompleted(primary=uuid4(), others=(uuid4(),), choices={"first_name": uuid4()}),
    "merge.reversed": merge.MergeReversed(
        contacts=(uuid4(),), out_of=uuid4(), mode="single", assigned={"first_name": uuid4()}
    ),
    "suppression.address_blacklisted": suppression.AddressBlacklisted(cause="hard_bounce", **_LISTED),
    "suppression.address_unblacklisted": suppression.AddressUnblacklisted(**_LISTED),
    "consent.granted": consent.ConsentGranted(proof=b"secret-digest-18", **_SAID),
    "consent.withdrawn": consent.ConsentWithdrawn(**_SAID),
    "consent.unsubscribed_from_all": consent.UnsubscribedFromAll(**{**_SAID, "channel": "phone"}),
    "consent.double_opt_in_requested": consent.DoubleOptInRequested(**{**_SAID, "channel": "email"}),
    "consent.double_opt_in_confirmed": consent.DoubleOptInConfirmed(
        proof=b"secret-digest-18", reopens=True, **{**_SAID, "channel": "email"}
    ),
    "consent.spam_reported": consent.SpamReported(**{**_SAID, "channel": "email"}),
    "consent.spam_cleared": consent.SpamCleared(**{**_SAID, "channel": "email"}),
    "consent.category_subscribed": consent.CategorySubscribed(category="weekly", proof=b"secret-digest-18", **_SAID),
    "consent.category_unsubscribed": consent.CategoryUnsubscribed(category="weekly", **_SAID),
    "proof.recorded": proof.ProofRecorded(
        fact_version=3,
        address="secret@example.com",
        reason="secret reason",
        proof=proof.Proof(
            text="secret text",
            form_version="7",
            source="secret form",
            ip="192.0.2.1",
            user_agent="secret agent",
            occurred_at=NOW,
        ),
    ),
    "proof.destroyed": proof.ProofDestroyed(),
    "activity.recorded": activity.ActivityRecorded(
        activity_id="secret-id",
        kind="message.clicked",
        occurred_at=NOW,
        source="mailer",
        addressed_as=activity.AddressedAs(by="email", value="secret@example.com", contact_id=uuid4()),
        data={"channel": "email", "url": "https://secret.example.com", "properties": {"secret": "secret"}},
    ),
    "list.created": lists.ListCreated(name="Secretname"),
    "list.renamed": lists.ListRenamed(name="Secretname"),
    "list.archived": lists.ListArchived(),
    "list.restored": lists.ListRestored(),
    "segment.created": segment.SegmentCreated(name="Secretname", filter={"secret": "secret"}),
    "segment.renamed": segment.SegmentRenamed(name="Secretname"),
    "segment.redefined": segment.SegmentRedefined(filter={"secret": "secret"}),
    "segment.archived": segment.SegmentArchived(),
    "segment.restored": segment.SegmentRestored(),
    "workspace.created": workspace.WorkspaceCreated(name="Secretname"),
    "workspace.settings_changed": workspace.WorkspaceSettingsChanged(
        name="Secretname", default_region=Country("DE"), double_opt_in={"api": True}
    ),
    "workspace.key_issued": workspace.WorkspaceKeyIssued(
        key_id="k1", name="Secretname", digest=b"secret-digest", role="manager"
    ),
    "workspace.key_revoked": workspace.WorkspaceKeyRevoked(key_id="k1", reason="secret reason"),
    "workspace.member_added": workspace.WorkspaceMemberAdded(member_id="secret@example.com", role="agent"),
    "workspace.member_role_changed": workspace.WorkspaceMemberRoleChanged(member_id="secret@example.com", role="owner"),
    "workspace.member_removed": workspace.WorkspaceMemberRemoved(member_id="secret@example.com"),
    "attribute.defined": workspace.AttributeDefined(key="shoe_size", name="Secretname", type="number"),
    "attribute.renamed": workspace.AttributeRenamed(key="shoe_size", name="Secretname"),
    "attribute.archived": workspace.AttributeArchived(key="shoe_size"),
    "webhook.created": webhook.WebhookCreated(
        url="https://secret.example.com", description="Secretname", secret=b"secret-secret"
    ),
    "webhook.changed": webhook.WebhookChanged(url="https://secret.example.com", description="Secretname"),
    "webhook.secret_rotated": webhook.WebhookSecretRotated(secret=b"secret-secret", old_until=NOW),
    "webhook.disabled": webhook.WebhookDisabled(cause="failing", failing_since=NOW),
    "webhook.enabled": webhook.WebhookEnabled(),
    "webhook.replay_requested": webhook.WebhookReplayRequested(after=41),
    "webhook.test_requested": webhook.WebhookTestRequested(),
    "webhook.deleted": webhook.WebhookDeleted(),
}


def recorded(type_: str, event: Any = None, *, metadata: Metadata | None = None) -> RecordedEvent[Any]:
    """The example of a type as the log would hand it out."""
    return RecordedEvent(
        lane=0,
        position=7,
        workspace_id=WORKSPACE_ID,
        category=type_.partition(".")[0],
        stream_id=uuid4(),
        version=3,
        event_id=uuid4(),
        type=type_,
        schema_version=1,
        recorded_at=NOW,
        metadata=metadata or Metadata(actor="user:secret@example.com", operation_id=uuid4()),
        event=EVENTS[type_] if event is None else event,
    )
