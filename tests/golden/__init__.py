"""Stored payloads of every event version ever registered, `<name>.v<version>.json`: made once, kept for ever."""
