"""What of a text is spelling only: two texts that differ in no more than that say the same, in any script."""

import re
import unicodedata

_FREE_MARKS = re.compile(
    "[\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed]"
)
"""Vowel points of Hebrew and Arabic, and the stroke that only stretches an Arabic word."""

FULL_STOPS = ".\u3002\u06d4\u0964\u1362\u0589"
"""Of Latin and its kin, Chinese and Japanese, Urdu, Hindi, Amharic, Armenian; wide and half-wide ones fold to these."""
END_MARKS = FULL_STOPS + "?!:;\u061f\u061b\u037e\u055e\u1367"
"""What else ends a sentence, or a question: those of Arabic, Greek, Armenian and Amharic, too."""


def folded(text: str) -> str:
    r"""A text in one spelling: case, width, spaces, digits, joiners, and marks that Arabic and Hebrew may leave out.

    Compatible forms become one (NFKC, Unicode Standard Annex 15), letters small (case folding), decimal digits those of
    ASCII, runs of white space one space. What takes no room, such as marks of direction, is dropped.

    >>> folded(" \uff29\uff26\u3000NO\uff1a "), folded("\u0646\u064e\u0639\u064e\u0645\u0640"), folded("\u0663 cm")
    ('if no:', '\u0646\u0639\u0645', '3 cm')
    """
    if not text.isascii():
        text = _FREE_MARKS.sub("", unicodedata.normalize("NFKC", text))
        text = "".join(map(_plain, text))
    return " ".join(text.casefold().split())


def _plain(sign: str) -> str:
    if sign.isascii():
        return sign
    kind = unicodedata.category(sign)
    if kind == "Nd":
        return str(unicodedata.decimal(sign))
    return "" if kind == "Cf" else sign
