"""Which of given options an answer is: by the log-probabilities of its first tokens, or by its words.

Many servers do not score options. They list, for each token of the answer that they write, the likeliest
alternatives. An option's probability is taken to be that the answer begins as the option does, up to the token that
sets it apart from the other options: the first token of "yes" or "no"; the second of "left lung" and "left pleura",
whose first is the same. Spaces, quotes and asterisks before the first word are ignored, and so is case, but not that
of a single letter: "a" is a word, and no answer A.

Nothing is made up: unless every option is among the listed tokens, and these hold a tenth of the probability, the words
of the answer decide. Where one token sets options apart, their log-probabilities are those of
`TransformersMLLM.score`, plus those of their other spellings. Of longer options only the tokens up to the deciding one
are read, so that those differ.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RULE = "first tokens that tell options apart, any case; none unlisted; then words: version 2"
"""Name of the rule by which options are scored, part of a model's fingerprint: a changed rule needs a new name."""

_BEFORE = " \t\n\r*_\"'`"
_MOST_TOKENS = 24
_LETTER = dict.fromkeys("AI", r"(?!\s+[a-z])")
"""Letters that are words as well: "A heart" does not name option A."""
LEAST_MASS = 0.1
"""Of the probability of all answers, what options must have together for their log-probabilities to tell something."""


@dataclass(frozen=True)
class AnswerToken:
    """A token of an answer: the one written, and the most likely ones in its place with their log-probabilities."""

    written: str
    listed: tuple[tuple[str, float], ...]


def tokens_needed(options: Sequence[str]) -> int:
    """Tokens of an answer that may be needed, at most one a letter: as many as options share, one more, and a space."""
    alike = 0
    for number, option in enumerate(options):
        for other in options[:number]:
            pairs = zip(option.casefold(), other.casefold(), strict=False)
            alike = max(alike, next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(option), len(other))))
    return min(alike + 2, _MOST_TOKENS)


def option_scores(tokens: Sequence[AnswerToken], options: Sequence[str], *, whole: bool) -> NDArray[np.float64] | None:
    """Log-probability of each option by the tokens of an answer.

    The probability of a token that begins one option is added to that option. If a token begins several options and
    was written, the next token tells them apart. A part of a word, such as "n" of "no", counts only where no listed
    token holds the whole word. Options may be equally likely.

    Parameters
    ----------
    tokens
        All of the answer's, from the first on.
    options
        At least two, all different.
    whole
        Whether the answer ended with the last of the tokens, rather than being cut short.

    Returns
    -------
    float64 [number of options], or None if the probability of an option is not told by the tokens, or if the options
    have less than `LEAST_MASS` together.
    """
    names = [_name(option) for option in options]
    chances = np.zeros(len(names))
    left, said, path = tuple(range(len(names))), "", 1.0
    for answer_token in tokens:
        onward = _begun(said + answer_token.written, names, left)
        shares = _shares(answer_token, said, names, left, onward)
        said += answer_token.written
        for begun, share in shares.items():
            if len(begun) == 1:
                chances[begun[0]] += path * share
            elif begun not in (onward, left, ()):
                return None  # how they share it was not told
        if len(onward) < 2:
            left = ()
            break
        left, path = onward, path * shares[onward]
    ended = [number for number in left if whole and names[number] == _as(said, names[number])]
    chances[ended] += path
    if (chances == 0).any() or chances.sum() < LEAST_MASS:
        return None
    scores: NDArray[np.float64] = np.log(chances)
    return scores


def named_option(answer: str, options: Sequence[str]) -> int | None:
    """The number of the option that an answer's words name, or None if they name none or several.

    That is the option that the answer begins with, or else the only one that it contains. Where the answer fits both
    "no" and "no change", it is the longer one.
    """
    words = [_name(option) for option in options]
    found = [re.search(rf"(?<!\w){re.escape(word)}(?!\w)" + _LETTER.get(word, ""), _as(answer, word)) for word in words]
    held = [number for number, match in enumerate(found) if match]
    first = [number for number, match in enumerate(found) if match and match.start() == 0]
    for chosen in (first, held):
        longest = max(chosen, key=lambda number: len(words[number]), default=None)
        if longest is not None and all(words[number] in words[longest] for number in chosen):
            return longest
    return None


def _shares(
    answer_token: AnswerToken, said: str, names: Sequence[str], left: Sequence[int], onward: tuple[int, ...]
) -> dict[tuple[int, ...], float]:
    """Probability of the listed tokens, by which of the options left they begin."""
    begun = [_begun(said + token, names, left) for token, _ in answer_token.listed]
    parts = [
        any(_within_word(said + token, names[number]) for number in numbers)
        for (token, _), numbers in zip(answer_token.listed, begun, strict=True)
    ]
    told = {number for numbers, part in zip(begun, parts, strict=True) if not part for number in numbers}
    shares = {onward: 0.0}
    for (_, value), numbers, part in zip(answer_token.listed, begun, parts, strict=True):
        if not part or numbers == onward or not told.issuperset(numbers):
            shares[numbers] = shares.get(numbers, 0.0) + float(np.exp(value))
    return shares


def _begun(text: str, names: Sequence[str], left: Sequence[int]) -> tuple[int, ...]:
    """Options left that begin with a text, or else the longest of them that the text begins with, as whole words."""
    ahead = tuple(number for number in left if names[number].startswith(_as(text, names[number])))
    passed = (number for number in left if re.match(rf"{re.escape(names[number])}(?!\w)", _as(text, names[number])))
    longest = max(passed, key=lambda number: len(names[number]), default=None)
    return ahead or (() if longest is None else (longest,))


def _within_word(text: str, name: str) -> bool:
    """Whether a text that an option begins with ends inside one of the option's words."""
    said = _as(text, name)
    return 0 < len(said) < len(name) and said[-1].isalnum() and name[len(said)].isalnum()


def _name(option: str) -> str:
    """An option as it is compared: of a single letter the case counts."""
    bare = option.strip()
    return bare if len(bare) == 1 else bare.casefold()


def _as(text: str, name: str) -> str:
    """A text as it is compared with an option's name."""
    bare = text.lstrip(_BEFORE).rstrip()
    return bare if len(name) == 1 else bare.casefold()
