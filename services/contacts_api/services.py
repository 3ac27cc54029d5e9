"""What the routes work with, opened once per process and closed in the opposite order. Wiring only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

import asyncpg

from contacts.activity.handler import ActivityHandler
from contacts.activity.matching import CaughtUpLookUp, Matcher
from contacts.activity.queries import ActivityQueries, MatchQueries
from contacts.activity.strangers import Strangers
from contacts.addresses import AddressKeys
from contacts.audit.reading import Audits
from contacts.catalog import CODEC
from contacts.consent.double_opt_in import DoubleOptIn
from contacts.consent.handler import ConsentHandler
from contacts.consent.ledger import LedgerKey, Ledgers
from contacts.consent.links import UnsubscribeLinks
from contacts.consent.may_send import FindOverLimit, MaySend
from contacts.consent.reading import Standings
from contacts.contact.commands import UpsertKind
from contacts.contact.handler import ContactHandler, FindContact
from contacts.contact.queries import ContactQueries
from contacts.duplicate.handler import DuplicateHandler
from contacts.duplicate.keys import DismissalIds
from contacts.duplicate.queries import DuplicateQueries
from contacts.duplicate.removal import Removal
from contacts.engagement.queries import EngagementQueries
from contacts.erasure.handler import ErasureHandler
from contacts.execution import Together
from contacts.facet.index import FacetIndex
from contacts.facts import Facts
from contacts.lists.handler import ListHandler
from contacts.lists.joining import Joining
from contacts.lists.members import ListMembers
from contacts.merge.handler import MergeHandler
from contacts.restore.handler import RestoreHandler
from contacts.segment.explaining import Explainer
from contacts.segment.filters import Filters
from contacts.segment.handler import SegmentHandler
from contacts.segment.queries import SegmentQueries
from contacts.smartsearch.searching import SearchQueries
from contacts.suppression.handler import SuppressionHandler
from contacts.suppression.queries import SuppressionQueries
from contacts.webhook.handler import WebhookHandler
from contacts.webhook.queries import WebhookQueries
from contacts.workspace.bootstrap import bootstrap
from contacts.workspace.directory import Workspaces
from contacts.workspace.handler import WorkspaceHandler
from contacts_api.metrics import AppendTimes
from contacts_api.tokens import Tokens
from eventstore.cipher import Keyring
from eventstore.progress import Progress
from eventstore.store import EventStore
from servicekit.connect import open_pool

if TYPE_CHECKING:
    from servicekit.settings import Settings

#: The read model that answers about contacts.
CONTACT: Final = "contact"
#: The read model that answers about contacts as they were.
HISTORY: Final = "history"
#: The read model that says what activity says of contacts.
ENGAGEMENT: Final = "engagement"
#: And of what happened to contacts.
ACTIVITY: Final = "activity"
#: The read model that answers about blacklists.
SUPPRESSION: Final = "suppression"
#: The read model that answers about duplicates.
DUPLICATE: Final = "duplicate"

#: The read model that answers about lists and segments.
SEGMENT: Final = "segment"
#: The read model that answers about webhooks.
WEBHOOK: Final = "webhook"


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything is safe to use concurrently."""

    settings: Settings
    store: EventStore
    workspaces: Workspaces
    #: None where the installation takes API keys only.
    tokens: Tokens | None
    workspace_handler: WorkspaceHandler
    contact_handler: ContactHandler
    erasure_handler: ErasureHandler
    contact_queries: ContactQueries
    address_keys: AddressKeys
    facts: Facts
    consent_handler: ConsentHandler
    suppression_handler: SuppressionHandler
    suppression_queries: SuppressionQueries
    standings: Standings
    may_send: MaySend
    unsubscribe_links: UnsubscribeLinks
    ledgers: Ledgers
    merge_handler: MergeHandler
    duplicate_queries: DuplicateQueries
    duplicate_handler: DuplicateHandler
    duplicate_removal: Removal
    restore_handler: RestoreHandler
    audits: Audits
    activity_handler: ActivityHandler
    activity_queries: ActivityQueries
    engagement_queries: EngagementQueries
    list_handler: ListHandler
    list_members: ListMembers
    segment_handler: SegmentHandler
    segment_queries: SegmentQueries
    filters: Filters
    explainer: Explainer
    facets: FacetIndex
    search_queries: SearchQueries
    webhook_handler: WebhookHandler
    webhook_queries: WebhookQueries
    progress: Progress
    #: Sessions of `rollbook_reader`.
    pool: asyncpg.Pool


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Connects, and sees to it that the bootstrap key opens its workspace. Closing commits what is queued."""
    keyring = Keyring(settings.master_keys, current=max(settings.master_keys))
    async with AsyncExitStack() as stack:
        pool = await open_pool(
            settings.query_url, role="rollbook_reader", application="api", size_max=settings.query_pool_size
        )
        stack.push_async_callback(pool.close)
        store = await EventStore.open(
            settings.database_url,
            codec=CODEC,
            keyring=keyring,
            pool_size=settings.append_pool_size,
            observer=AppendTimes(),
        )
        stack.push_async_callback(store.close)
        progress = await Progress.open(settings.query_url)
        stack.push_async_callback(progress.close)
        workspaces = Workspaces(store)
        workspace_handler = WorkspaceHandler(store, workspaces)
        if settings.bootstrap_key:
            await bootstrap(
                store, workspace_handler, key=settings.bootstrap_key, workspace_id=settings.bootstrap_workspace
            )
        facets = await stack.enter_async_context(
            FacetIndex(pool, store, bytes_max=settings.facet_memory_mb * 1_000_000)
        )
        queries = ContactQueries(pool, keyring.hmac("cursor", CONTACT))
        keys, facts = AddressKeys(keyring.hmac), Facts(store)
        lists, segments = ListHandler(store), SegmentHandler(store)
        beside = Together(DoubleOptIn(facts, keys), Joining(lists))
        contact_handler = ContactHandler(
            store, find=_finder(queries, progress, settings.position_wait_s), beside=beside
        )
        components = contact_handler.components
        duplicates = DuplicateQueries(pool, keyring.hmac("cursor", DUPLICATE))
        merge_handler = MergeHandler(store, components)
        look_up = CaughtUpLookUp(MatchQueries(pool), progress, settings.position_wait_s)
        yield Services(
            settings=settings,
            store=store,
            workspaces=workspaces,
            tokens=Tokens(settings, workspaces, keyring.hmac) if settings.jwt_jwks else None,
            workspace_handler=workspace_handler,
            contact_handler=contact_handler,
            erasure_handler=ErasureHandler(store, components, facts, keys),
            contact_queries=queries,
            address_keys=keys,
            facts=facts,
            consent_handler=ConsentHandler(store, components, facts, keys),
            suppression_handler=SuppressionHandler(store, facts),
            suppression_queries=SuppressionQueries(pool, keyring.hmac("cursor", SUPPRESSION)),
            standings=Standings(store, components, keys),
            may_send=MaySend(store, components, keys, find_over_limit=_over_limit(workspaces, queries)),
            unsubscribe_links=UnsubscribeLinks(keyring.hmac("unsubscribe", "links")),
            ledgers=Ledgers(store, LedgerKey(keyring)),
            merge_handler=merge_handler,
            duplicate_queries=duplicates,
            duplicate_handler=DuplicateHandler(store, duplicates, DismissalIds(keyring.hmac)),
            duplicate_removal=Removal(store, duplicates, components),
            restore_handler=RestoreHandler(store, contact_handler, merge_handler),
            audits=Audits(store, keys, workspaces),
            activity_handler=ActivityHandler(
                store,
                components,
                Matcher(store, look_up),
                facts=facts,
                strangers=Strangers(contact_handler, keyring),
            ),
            activity_queries=ActivityQueries(pool, keyring.hmac("cursor", "activity")),
            engagement_queries=EngagementQueries(pool),
            list_handler=lists,
            list_members=ListMembers(lists, contact_handler),
            segment_handler=segments,
            segment_queries=SegmentQueries(pool),
            filters=Filters(segments, lists),
            explainer=Explainer(pool, store),
            facets=facets,
            search_queries=SearchQueries(pool, keyring.hmac("cursor", "search"), facets=facets),
            webhook_handler=WebhookHandler(store),
            webhook_queries=WebhookQueries(pool),
            progress=progress,
            pool=pool,
        )


def _over_limit(workspaces: Workspaces, queries: ContactQueries) -> FindOverLimit:
    """Asks the read model only for workspaces that have a limit at all."""

    async def find(workspace_id: UUID, contact_ids: Sequence[UUID]) -> Collection[UUID]:
        workspace = await workspaces.get(workspace_id)
        if workspace.settings.contact_limit is None:
            return ()
        return await queries.over_limit(workspace_id, contact_ids)

    return find


def _finder(queries: ContactQueries, progress: Progress, wait_s: float) -> FindContact:
    """How an upsert finds whom it means: in the read model, once that shows all that was written before."""

    async def find(workspace_id: UUID, by: UpsertKind, key: str, *, lane: int, position: int) -> UUID | None:
        await progress.wait(CONTACT, lane, position, wait_s)
        found = await queries.find_by(workspace_id, by, key)
        return found[0] if found else None

    return find
