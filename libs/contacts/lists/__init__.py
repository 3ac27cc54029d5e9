"""Static lists: what they are called. Who is on them stands in the contacts' own streams."""
