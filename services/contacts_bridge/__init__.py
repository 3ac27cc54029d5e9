"""The bridge between the log and NATS: public events out. Commands, rules and read models are elsewhere."""
