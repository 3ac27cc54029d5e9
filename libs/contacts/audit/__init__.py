"""What happened to a contact, for those who have to explain it: history, provenance, difference of two moments."""
