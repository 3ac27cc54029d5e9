"""Webhooks: who gets which events over HTTP, with what secret, and how the deliveries went. Sending is the bridge's."""
