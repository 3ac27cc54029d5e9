"""Data keys destroyed in an append."""

from eventstore.migrations.plain import run_sql

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    run_sql("0005_erasure.sql")
