"""Tracking of the eventsourcing library's process recorders."""

from eventstore.migrations.plain import run_sql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run_sql("0003_tracking.sql")
