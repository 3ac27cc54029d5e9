"""Projector state: builds, checkpoints, leases, workers, parked keys."""

from eventstore.migrations.plain import run_sql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run_sql("0002_projector.sql")
