"""Contacts as they were: one row for every version of what was shown of them."""
