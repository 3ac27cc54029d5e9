"""Every event and every projection of the domain on one screen. Names are what the log stores: never rename one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from contacts import proof
from contacts.activity import events as activity
from contacts.activity.identity import IdentityProjection
from contacts.activity.projection import ActivityProjection
from contacts.consent import events as consent
from contacts.contact import events as contact
from contacts.contact.projection import ContactProjection
from contacts.duplicate import events as duplicate
from contacts.duplicate.projection import DuplicateProjection
from contacts.engagement.projection import EngagementProjection
from contacts.erasure import events as erasure
from contacts.history.projection import HistoryProjection
from contacts.lists import events as lists
from contacts.merge import events as merge
from contacts.segment import events as segment
from contacts.segment.projection import SegmentProjection
from contacts.suppression import events as suppression
from contacts.suppression.projection import SuppressionProjection
from contacts.webhook import events as webhook
from contacts.webhook.projection import WebhookProjection
from contacts.workspace import events as workspace
from eventstore.codec import Codec, EventType

if TYPE_CHECKING:
    from eventstore.projection import Projection

EVENT_TYPES: Final = (
    EventType("contact.created", contact.ContactCreated),
    EventType("contact.details_changed", contact.ContactDetailsChanged),
    EventType("contact.tagged", contact.ContactTagged),
    EventType("contact.untagged", contact.ContactUntagged),
    EventType("contact.listed", contact.ContactListed),
    EventType("contact.unlisted", contact.ContactUnlisted),
    EventType("contact.channel_connected", contact.ContactChannelConnected),
    EventType("contact.channel_seen", contact.ContactChannelSeen),
    EventType("contact.channel_disconnected", contact.ContactChannelDisconnected),
    EventType("contact.blocked", contact.ContactBlocked),
    EventType("contact.unblocked", contact.ContactUnblocked),
    EventType("contact.deleted", contact.ContactDeleted),
    EventType("contact.restored", contact.ContactRestored),
    EventType("contact.merged", contact.ContactMerged),
    EventType("contact.absorbed", contact.ContactAbsorbed),
    EventType("contact.unmerged", contact.ContactUnmerged),
    EventType("contact.reinstated", contact.ContactReinstated),
    EventType("contact.erased", contact.ContactErased),
    EventType("erasure.completed", erasure.ErasureCompleted),
    EventType("merge.completed", merge.MergeCompleted),
    EventType("merge.reversed", merge.MergeReversed),
    EventType("duplicate.dismissed", duplicate.DuplicateDismissed),
    EventType("suppression.address_blacklisted", suppression.AddressBlacklisted),
    EventType("suppression.address_unblacklisted", suppression.AddressUnblacklisted),
    EventType("consent.granted", consent.ConsentGranted),
    EventType("consent.withdrawn", consent.ConsentWithdrawn),
    EventType("consent.unsubscribed_from_all", consent.UnsubscribedFromAll),
    EventType("consent.double_opt_in_requested", consent.DoubleOptInRequested),
    EventType("consent.double_opt_in_confirmed", consent.DoubleOptInConfirmed),
    EventType("consent.spam_reported", consent.SpamReported),
    EventType("consent.spam_cleared", consent.SpamCleared),
    EventType("consent.category_subscribed", consent.CategorySubscribed),
    EventType("consent.category_unsubscribed", consent.CategoryUnsubscribed),
    EventType("proof.recorded", proof.ProofRecorded),
    EventType("proof.destroyed", proof.ProofDestroyed),
    EventType("activity.recorded", activity.ActivityRecorded),
    EventType("list.created", lists.ListCreated),
    EventType("list.renamed", lists.ListRenamed),
    EventType("list.archived", lists.ListArchived),
    EventType("list.restored", lists.ListRestored),
    EventType("segment.created", segment.SegmentCreated),
    EventType("segment.renamed", segment.SegmentRenamed),
    EventType("segment.redefined", segment.SegmentRedefined),
    EventType("segment.archived", segment.SegmentArchived),
    EventType("segment.restored", segment.SegmentRestored),
    EventType("workspace.created", workspace.WorkspaceCreated),
    EventType("workspace.settings_changed", workspace.WorkspaceSettingsChanged),
    EventType("workspace.key_issued", workspace.WorkspaceKeyIssued),
    EventType("workspace.key_revoked", workspace.WorkspaceKeyRevoked),
    EventType("workspace.member_added", workspace.WorkspaceMemberAdded),
    EventType("workspace.member_role_changed", workspace.WorkspaceMemberRoleChanged),
    EventType("workspace.member_removed", workspace.WorkspaceMemberRemoved),
    EventType("attribute.defined", workspace.AttributeDefined),
    EventType("attribute.renamed", workspace.AttributeRenamed),
    EventType("attribute.archived", workspace.AttributeArchived),
    EventType("webhook.created", webhook.WebhookCreated),
    EventType("webhook.changed", webhook.WebhookChanged),
    EventType("webhook.secret_rotated", webhook.WebhookSecretRotated),
    EventType("webhook.disabled", webhook.WebhookDisabled),
    EventType("webhook.enabled", webhook.WebhookEnabled),
    EventType("webhook.replay_requested", webhook.WebhookReplayRequested),
    EventType("webhook.test_requested", webhook.WebhookTestRequested),
    EventType("webhook.deleted", webhook.WebhookDeleted),
)
CODEC: Final = Codec(EVENT_TYPES)
#: Every read model, in the order they are built.
PROJECTIONS: Final[tuple[Projection, ...]] = (
    ContactProjection(),
    HistoryProjection(CODEC),
    SuppressionProjection(),
    ActivityProjection(),
    IdentityProjection(),
    DuplicateProjection(),
    EngagementProjection(),
    WebhookProjection(),
    SegmentProjection(),
)
