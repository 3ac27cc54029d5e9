"""Restoring what was deleted, whoever took its unique values meanwhile."""
