"""The bridge between the log and NATS: public events out, the inbox in, and webhooks. Rules and read models are elsewhere."""
