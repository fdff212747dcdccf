"""Somebody else's words, fit for a one-line message."""


def one_line(text: object) -> str:
    """A message of a library, an engine or a server on one line."""
    return " ".join(str(text).split())
