"""The workspace slice: one tenant with its settings, attribute definitions, members and API keys."""
