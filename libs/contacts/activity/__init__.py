"""Activity: what other services saw contacts do and had done to them, and the timeline made of it."""
