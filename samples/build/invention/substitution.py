"""Real reports and questions whose words mean nothing any more: only what they say can be read, nothing remembered.

Every word that no frame of an invented task holds is exchanged for an invented one, the same throughout a case: "Is the
retinopathy at least moderate?" becomes "Is the vorel at least moderate?", and so in every report that is read with it.
"""

import random
import re
from collections.abc import Callable

from samples.build.invention import frames
from samples.build.invention.inventor import Inventor

_COMMON = """
a an the of in on at by for from to with without and or but not no nor than as if that this these those it its is are
was were be been being has have had do does did can could may might will would should what which where when who how why
all any both each few more most other some such only own same so too very there here patient image images case year old
male female man woman report reference findings question options
"""


def _kept() -> frozenset[str]:
    texts: list[str] = [_COMMON]
    for value in vars(frames).values():
        if isinstance(value, tuple):
            texts += [text for text in value if isinstance(text, str)]
    for scale in frames.DEGREES:
        texts += [word for level in scale for word in level]
    return frozenset(word.lower() for text in texts for word in re.findall(r"(?<!\{)\b[A-Za-z]+\b(?!\})", text))


KEPT = _kept()
"""Words that mean what they mean."""


def substitution(inventor: Inventor, rng: random.Random) -> Callable[[str], str]:
    """A function that exchanges words, always the same for each other; capitals and plurals stay."""
    exchanged: dict[str, str] = {}

    def one(match: re.Match[str]) -> str:
        word = match[0]
        lower = word.lower()
        if lower in KEPT or len(word) == 1:
            return word
        plural = lower.endswith("s") and not lower.endswith("ss") and len(lower) > 3
        stem = lower[:-1] if plural else lower
        if stem not in exchanged:
            exchanged[stem] = inventor.word(rng)
        new = exchanged[stem] + ("s" if plural else "")
        return new[:1].upper() + new[1:] if word[0].isupper() else new

    return lambda text: re.sub(r"[A-Za-z]+", one, text)
