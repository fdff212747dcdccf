"""Somebody else's words, fit for a one-line message."""


def one_line(text: object) -> str:
    """A message of a library, an engine or a server on one line."""
    return " ".join(str(text).split())


def shorten(text: str, longest: int) -> str:
    """A text of at most so many characters; one that was longer ends in "…"."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
