"""Dynamic segments: saved smart searches, and who is in them, at any time."""
