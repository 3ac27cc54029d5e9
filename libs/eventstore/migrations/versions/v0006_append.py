"""The append in hope takes rows."""

from eventstore.migrations.plain import run_sql

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    run_sql("0006_append.sql")
