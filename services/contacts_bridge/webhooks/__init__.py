"""Webhooks out: follows the log for each webhook and delivers what it wants, in order per contact, at least once."""
