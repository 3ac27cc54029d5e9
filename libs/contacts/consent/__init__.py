"""What persons agreed to and withdrew, address by address, and whether they may be sent to."""
