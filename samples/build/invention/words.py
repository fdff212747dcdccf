"""Words that mean nothing, and sentences that they fill."""

import random
from collections.abc import Sequence

from samples.build.invention.cases import YES_NO, Task


class Words:
    """Draws words.

    Parameters
    ----------
    pieces
        Parts of words, such as the tokens of a vocabulary, of which words are invented.
    words
        Whole words, which invented terms may hold too.
    """

    def __init__(self, pieces: Sequence[str], words: Sequence[str]) -> None:
        self.pieces = [piece for piece in pieces if piece.isascii() and piece.isalpha() and piece.islower()]
        self.words = [word for word in words if word.isascii() and word.isalpha() and word.islower() and len(word) > 3]

    def word(self, rng: random.Random) -> str:
        """One word, made up of pieces or taken from a text at random, where it means nothing."""
        if rng.random() < 0.6:
            return rng.choice(self.words)
        return "".join(rng.choice(self.pieces) for _ in range(rng.randint(1, 2)))

    def term(self, rng: random.Random, longest: int = 2) -> str:
        """One or more words."""
        return " ".join(self.word(rng) for _ in range(rng.randint(1, longest)))

    def terms(self, rng: random.Random, count: int) -> list[str]:
        """So many different terms, which share a word now and then: all of a term has to be looked up, not a part."""
        shared, before = self.word(rng) if rng.random() < 0.3 else "", rng.random() < 0.5
        drawn: dict[str, None] = {}
        while len(drawn) < count:
            if not shared:
                drawn[self.term(rng)] = None
            else:
                drawn[f"{shared} {self.word(rng)}" if before else f"{self.word(rng)} {shared}"] = None
        return list(drawn)


def closed(question: str, true: bool) -> Task:
    """A question that is answered with yes or no."""
    return Task(question, YES_NO, YES_NO[0] if true else YES_NO[1])


def fill(frame: str, **values: str) -> str:
    """Fill a frame's gaps; one in capitals takes its value with a capital letter."""
    for key, value in list(values.items()):
        values.setdefault(key.upper(), value[:1].upper() + value[1:])
    return frame.format(**values)
