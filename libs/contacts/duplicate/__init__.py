"""Contacts that may be one person: groups by address, likely pairs with their evidence, and what is done about them."""
