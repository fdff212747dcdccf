"""The words of a text in any language, also where no spaces part them."""

from itertools import pairwise

import regex

from titrate import folded

_BOUNDARY = regex.compile(r"(?w)\b", flags=regex.V1)
_WITHIN = regex.compile(r"(?<!\p{Nd})[.,:'\u2019\u00b7]|[.,:'\u2019\u00b7](?!\p{Nd})|_")
"""What Unicode leaves inside a word, and reports write without the space that should follow: "effusion:none"."""
_DENIES = regex.compile(r"(?:[不没沒未无無非]|ไม่)(?=\p{L})")


def words(text: str) -> list[str]:
    """The words of a text in one spelling (`titrate.folded`), in their order, without punctuation.

    Words end as Unicode has it (Standard Annex 29), and at a full stop, comma, colon or apostrophe that is not inside a
    number. Where a script has no spaces, a word is a character with the marks on it, such as a Chinese or Japanese
    ideograph, a sign of hiragana, a Thai consonant; katakana and Hangul are words as they are written. In Chinese,
    Japanese and Thai a sign that denies what follows is one word with it, so that a finding is not most of its absence.

    >>> words("No effusion; 3.5 cm mass."), words("\u6ca1\u6709\u79ef\u6db2\uff0cCT\u6b63\u5e38")
    (['no', 'effusion', '3.5', 'cm', 'mass'], ['\u6ca1\u6709', '\u79ef', '\u6db2', 'ct', '\u6b63', '\u5e38'])
    """
    text = folded(text)
    glued = {place for sign in _DENIES.finditer(text) for place in range(sign.start() + 1, sign.end() + 1)}
    ends = [match.start() for match in _BOUNDARY.finditer(text) if match.start() not in glued]
    pieces = (part for start, end in pairwise(ends) for part in _WITHIN.split(text[start:end]))
    return [piece for piece in pieces if any(map(str.isalnum, piece))]


def last_word_end(text: str, most: int) -> int:
    """Where the last word ends of which all is within a text's first characters; 0 if there is none.

    >>> last_word_end("no effusion", 6), last_word_end("\u53cc\u80ba\u6e05\u6670", 3), last_word_end("effusion", 3)
    (2, 3, 0)
    """
    ends = [match.start() for match in _BOUNDARY.finditer(text) if match.start() <= most]
    return len(text[: ends[-1]].rstrip()) if ends else 0
