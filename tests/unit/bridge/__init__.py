"""The bridge without servers."""
