"""Exact counts of filters from memory: a copy of what they ask for, in columns. SQL answers whatever it cannot."""
