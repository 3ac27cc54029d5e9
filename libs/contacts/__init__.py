"""The domain of Rollbook: contacts and workspaces, their rules, events and read models. Knows neither HTTP nor NATS."""
