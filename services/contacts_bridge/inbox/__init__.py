"""The inbox: what other services send in over JetStream, on its way into the log, or aside with a reason."""
