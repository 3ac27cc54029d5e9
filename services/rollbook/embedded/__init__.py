"""The real PostgreSQL and nats-server out of the wheels: found, started, stopped, killed. No contacts, no settings."""
