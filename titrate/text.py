"""Somebody else's words, fit for a message, a terminal or a log."""

import unicodedata

LONGEST_QUOTE, LONGEST_NAME, LONGEST_PRINTED = 200, 40, 10_000

_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0") | frozenset(
    map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)))
)
"""Letters and marks that show nothing: fillers, joiners, variation selectors."""


def _shows(sign: str) -> bool:
    if sign in _UNSEEN:
        return False
    return sign.isprintable() or unicodedata.category(sign) == "Zs"  # a space, of whatever width


def unprintable(text: str) -> str | None:
    r"""The first character that acts instead of showing something, written as an escape; None if there is none.

    These are control characters, escape sequences, line breaks, marks that turn the direction of the text after them,
    what takes no room, halves of surrogate pairs, and what Unicode has not assigned.

    >>> unprintable("left lung"), unprintable("Lunge, 肺"), unprintable("a\x1b[31m"), unprintable("a\u202eb")
    (None, None, '\\x1b', '\\u202e')
    """
    if text.isascii() and text.isprintable():
        return None
    return next((_escape(sign) for sign in text if not _shows(sign)), None)


def printable(text: object, *, lines: bool = False, longest: int = LONGEST_PRINTED) -> str:
    r"""Anybody's text as it may go to a terminal or a log: it can be read, and does nothing.

    Every character that `unprintable` names is written as an escape. Two texts may look the same: a backslash stays.

    Parameters
    ----------
    text
        The text, or something whose text it is.
    lines
        Whether line breaks and tabs stay, as in a text of several lines; else they are written as escapes too.
    longest
        Characters that are kept.

    >>> printable("ID\x1b]52;c;aGk=\x07\n2"), printable("one\r\ntwo", lines=True), printable("abcdef", longest=4)
    ('ID\\x1b]52;c;aGk=\\x07\\n2', 'one\ntwo', 'abcd… (2 characters more)')
    """
    text = str(text)
    more = f"… ({len(text) - longest:,} characters more)" if len(text) > longest else ""
    text = text[:longest]
    if lines:
        text = text.replace("\r\n", "\n")
    if not (text.isascii() and text.isprintable()):
        stays = "\n\t" if lines else ""
        text = "".join(sign if sign in stays or _shows(sign) else _escape(sign) for sign in text)
    return text + more


def _escape(sign: str) -> str:
    return sign.encode("unicode_escape").decode("ascii")


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
    return shorten(name, LONGEST_NAME) if unprintable(name) is None else ascii(name[:LONGEST_NAME])


def quote(text: object, secret: str | None) -> str:
    r"""What a server said, on one short printable line, in which a secret that it repeats is blotted out.

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
    return printable(line[:LONGEST_QUOTE]) or "no reason given"
