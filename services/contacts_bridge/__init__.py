"""The bridge between the log and NATS: public events out, the inbox in, webhooks. Rules are elsewhere."""
