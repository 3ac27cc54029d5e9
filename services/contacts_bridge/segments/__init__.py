"""Who enters and leaves segments, told on a JetStream stream of its own."""
