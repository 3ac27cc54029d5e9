"""The contact slice: one person of one workspace, from creation to deletion and back."""
