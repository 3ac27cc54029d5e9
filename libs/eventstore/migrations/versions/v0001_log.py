"""The log: lanes, events, batches, idempotency, claims, snapshots, data keys and the append function."""

from eventstore.migrations.plain import run_sql

revision = "0001"
down_revision = None


def upgrade() -> None:
    run_sql("0001_log.sql")
