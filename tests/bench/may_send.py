"""May-send for 10,000 addresses at once beside a million suppressions: over HTTP, and what of it is the database."""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

import asyncpg

from contacts.addresses import AddressKeys
from contacts.suppression.state import INSTALLATION
from contacts.values import Email
from eventstore.migrate import migrate_async
from eventstore.suppressions import find_suppressions
from tests.bench.harness import QUICK, Figures, create_database, figures, own_postgres, print_goal, print_table
from tests.integration.api.conftest import Api, running_api

SUPPRESSIONS = 100_000 if QUICK else 1_000_000
ADDRESSES = 10_000
#: Of those asked about.
SUPPRESSED = ADDRESSES // 2
ROUNDS = 3 if QUICK else 30
GOAL_MS = 200.0

#: Half blacklisted for all, half unsubscribed in the workspace; digests that stand for nobody.
FILL = """
INSERT INTO log.suppression (
    scope_id, address, kind, channel, topic, holder_id, position, since, status, cause
)
SELECT CASE WHEN n % 2 = 0 THEN $1::uuid ELSE $2::uuid END, substr(sha256(int8send(n)), 1, 16),
       CASE WHEN n % 2 = 0 THEN 'suppression' ELSE 'consent' END, 'email', '', $2::uuid, n, now(),
       CASE WHEN n % 2 = 0 THEN 'blacklisted' ELSE 'unsubscribed' END, 'api'
FROM generate_series(1, $3::bigint) AS n
"""
KNOWN = """
INSERT INTO log.suppression (
    scope_id, address, kind, channel, topic, holder_id, position, since, status, cause
)
SELECT $1::uuid, a.address, 'consent', 'email', '', $1::uuid, 1, now(), 'unsubscribed', 'api'
FROM unnest($2::bytea[]) AS a (address)
"""


async def run() -> bool:
    with own_postgres() as server:
        dsn = await create_database(server, "may_send")
        await migrate_async(dsn)
        async with running_api(dsn) as api:
            tenant = await api.tenant()
            emails = [f"Person.{number}+tag@Example-{number % 97}.com" for number in range(ADDRESSES)]
            keys = api.services.address_keys
            await _fill(dsn, tenant.workspace_id, [keys.email_digest(Email(e)) for e in emails[:SUPPRESSED]])
            over_http = await _over_http(tenant.owner, emails)
            in_parts = await _in_parts(api, tenant.workspace_id, emails)
    return _report(over_http, in_parts)


async def _fill(dsn: str, workspace_id: UUID, digests: list[bytes]) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(FILL, INSTALLATION, workspace_id, SUPPRESSIONS - len(digests), timeout=600)
        await connection.execute(KNOWN, workspace_id, digests)
        await connection.execute("VACUUM ANALYZE log.suppression", timeout=600)
    finally:
        await connection.close()


async def _over_http(client: Any, emails: list[str]) -> Figures:
    question = {"channel": "email", "category": "weekly", "addresses": emails}
    seconds: list[float] = []
    for _ in range(ROUNDS + 1):
        began = time.perf_counter()
        answer = await client.post("/v1/may-send", json=question)
        seconds.append(time.perf_counter() - began)
        items = answer.json()["items"]
        assert [item["allowed"] for item in items] == [False] * SUPPRESSED + [True] * (ADDRESSES - SUPPRESSED)
    return _figures(seconds[1:])


async def _in_parts(api: Api, workspace_id: UUID, emails: list[str]) -> dict[str, Figures]:
    may_send, keys, store = api.services.may_send, api.services.address_keys, api.services.store
    parts: dict[str, list[float]] = {"digests of the addresses": [], "the query": [], "both, and the verdicts": []}
    for _ in range(ROUNDS + 1):
        began = time.perf_counter()
        digests = _digests(keys, emails)
        parts["digests of the addresses"].append(time.perf_counter() - began)
        began = time.perf_counter()
        await find_suppressions(store, workspace_id, INSTALLATION, digests)
        parts["the query"].append(time.perf_counter() - began)
        began = time.perf_counter()
        await may_send.to_addresses(workspace_id, "email", emails, category="weekly")
        parts["both, and the verdicts"].append(time.perf_counter() - began)
    return {name: _figures(seconds[1:]) for name, seconds in parts.items()}


def _digests(keys: AddressKeys, emails: list[str]) -> list[bytes]:
    return [keys.email_digest(Email(email)) for email in emails]


def _figures(seconds: list[float]) -> Figures:
    return figures(seconds, len(seconds) / sum(seconds))


def _report(over_http: Figures, in_parts: dict[str, Figures]) -> bool:
    measured = {"over HTTP": over_http, **in_parts}
    rows = [[name, f"{each.p50_ms:.0f}", f"{each.p99_ms:.0f}"] for name, each in measured.items()]
    title = f"May-send for {ADDRESSES:,} addresses, half of them suppressed, beside {SUPPRESSIONS:,} suppressions"
    print_table(title, ["", "p50 ms", "p99 ms"], rows)
    return print_goal("over HTTP, median", over_http.p50_ms, GOAL_MS, at_least=False, unit="ms")
