"""The bridge against a real PostgreSQL and a real nats-server."""
