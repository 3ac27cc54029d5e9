"""Commands of one batch that share a stream."""

from eventstore.migrations.plain import run_sql

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    run_sql("0006_shared_streams.sql")
