"""Alembic revisions of the log's own schemas, plain SQL and forward only; read models are rebuilt, never migrated."""
