"""Engagement: what activity says of each profile: its conversation, last interaction and e-mail rating."""
