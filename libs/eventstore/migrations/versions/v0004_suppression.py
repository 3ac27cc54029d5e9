"""What may not be sent to an address, written in the append."""

from eventstore.migrations.plain import run_sql

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    run_sql("0004_suppression.sql")
