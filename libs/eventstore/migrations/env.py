"""Alembic's entry: runs the revisions on the connection that `eventstore.migrate` hands over, or prints their SQL."""

from alembic import context

connection = context.config.attributes.get("connection")
if connection is None:
    context.configure(dialect_name="postgresql", literal_binds=True, version_table="rollbook_schema_version")
    with context.begin_transaction():
        context.run_migrations()
else:
    context.configure(connection=connection, version_table="rollbook_schema_version", transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
