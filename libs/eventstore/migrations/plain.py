"""Runs one plain SQL file as a revision, or prints it in Alembic's offline mode."""

from pathlib import Path

from alembic import context, op

SQL = Path(__file__).with_name("sql")


def run_sql(file: str) -> None:
    text = (SQL / file).read_text(encoding="utf-8")
    if context.is_offline_mode():
        context.get_context().impl.static_output(text)
        return
    # The simple protocol of the driver itself: SQLAlchemy would prepare, which allows one statement only.
    driver = op.get_bind().connection.dbapi_connection
    assert driver is not None
    driver.run_async(lambda connection: connection.execute(text))
