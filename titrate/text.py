"""Somebody else's words, fit for a one-line message."""

LONGEST_QUOTE, LONGEST_NAME = 200, 40


def one_line(text: object) -> str:
    r"""A message of a library, an engine or a server on one line.

    >>> one_line("no such\n  file ")
    'no such file'
    """
    return " ".join(str(text).split())


def first_line(error: BaseException) -> str:
    r"""The first line of an error's message, or its kind if it has none: some libraries append pages of advice.

    >>> first_line(ValueError("no such model\nSee https://example.org")), first_line(KeyboardInterrupt())
    ('no such model', 'KeyboardInterrupt')
    """
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def shorten(text: str, longest: int) -> str:
    """A text of at most so many characters; one that was longer ends in "…".

    >>> shorten("pneumothorax", 12), shorten("pneumothorax", 7)
    ('pneumothorax', 'pneumo…')
    """
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def short_name(name: str) -> str:
    r"""A name that somebody gave, such as a column's, with what cannot be printed written as escapes.

    >>> short_name("findings"), short_name("a\nb")
    ('findings', "'a\\nb'")
    """
    return shorten(name, LONGEST_NAME) if name.isprintable() else ascii(name[:LONGEST_NAME])


def quote(text: object, secret: str | None) -> str:
    r"""What a server said, on one short line, in which a secret that it repeats is blotted out.

    Parameters
    ----------
    text
        What it said.
    secret
        The key that was sent to it; None if none was.

    >>> quote("key abc123 is\nnot known", "abc123"), quote("", None)
    ('key *** is not known', 'no reason given')
    """
    line = one_line(text)
    if secret is not None:
        line = line.replace(secret, "***")
    return line[:LONGEST_QUOTE] or "no reason given"
