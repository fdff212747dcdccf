"""Which option an answer is: by the log-probabilities of its tokens as a server lists them, or by its words.

A server shows the most likely tokens for each token of the answer it writes, and nothing of the options as such. An
option is given the probability that the answer begins as it does, up to where it parts from the other options: the
first token of "yes" or "no", the second of "left lung" or "left pleura" where the first is "left". Small and capital
letters are the same, and spaces, quotes and asterisks before the first word do not count. Options told apart by their
one token have the log-probabilities of `TransformersMLLM.score`, plus those of their other spellings; longer options
have not, as what follows the token that decides is not read.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RULE = "first tokens that tell options apart, any case; then words: version 1"
"""What a fingerprint says of this module: another rule may decide otherwise, and has another name."""

_BEFORE = " \t\n\r*_\"'`"
_MOST_TOKENS = 24
_LESS = 1 - 1e-6


@dataclass(frozen=True)
class AnswerToken:
    """A token of an answer: the one written, and the most likely ones in its place with their log-probabilities."""

    written: str
    listed: tuple[tuple[str, float], ...]


def tokens_needed(options: Sequence[str]) -> int:
    """How many of an answer's tokens may be needed: one more than letters by which options begin alike, and a space."""
    alike = 0
    for number, option in enumerate(options):
        for other in options[:number]:
            pairs = zip(option.casefold(), other.casefold(), strict=False)
            alike = max(alike, next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(option), len(other))))
    return min(alike + 2, _MOST_TOKENS)


def option_scores(tokens: Sequence[AnswerToken], options: Sequence[str], *, whole: bool) -> NDArray[np.float64] | None:
    """Log-probability of each option by the tokens of an answer.

    A token that begins one option counts for it. One that begins several, and was written, leads to the next token;
    if it was not written, they share its probability evenly. An option that no listed token begins is given the most
    that it can have: almost as much as the least likely listed token, or what these leave. An answer that ended is
    taken to end there for certain, unless the server lists what ends it as a token.

    Parameters
    ----------
    tokens
        The answer's, from its first token on.
    options
        At least two, all different.
    whole
        Whether the answer ended there by itself.

    Returns
    -------
    float64 [number of options], or None if the tokens leave open which option is the most likely.
    """
    names = [option.casefold().strip() for option in options]
    chances, most = np.zeros(len(names)), np.zeros(len(names))
    left, said, path = tuple(range(len(names))), "", 1.0
    for answer_token in tokens:
        shares: dict[tuple[int, ...], float] = {}
        for token, value in answer_token.listed:
            begun = _begun(said + token, names, left)
            shares[begun] = shares.get(begun, 0.0) + path * float(np.exp(value))
        said += answer_token.written
        onward = _begun(said, names, left)
        for begun, share in shares.items():
            if len(begun) == 1 or begun not in (onward, left, ()):
                chances[[*begun]] += share / len(begun)
        unlisted = set(left).difference(*shares)
        # That an option is not listed makes it less likely than any that is, and no likelier than all that is left.
        least = path * float(np.exp(min(value for _, value in answer_token.listed)))
        most[[*unlisted]] = _LESS * min(least, max(path - sum(shares.values()), 0.0))
        if len(onward) < 2:
            left = ()
            break
        left, path = onward, shares[onward]
    if left:
        ended = [number for number in left if whole and names[number] == _bare(said)]
        chances[ended or [*left]] += path / len(ended or left)
    found = np.maximum(np.where(chances > 0, chances, most), np.finfo(np.float64).tiny)
    best = int(found.argmax())
    if chances[best] == 0 or (found == found[best]).sum() > 1:
        return None
    scores: NDArray[np.float64] = np.log(found)
    return scores


def named_option(answer: str, options: Sequence[str]) -> int | None:
    """Number of the option that an answer begins with, or else of the only one whose words it holds, or else None.

    Where both "no" and "no change" would do, it is the longer one.
    """
    text, words = _bare(answer), [option.casefold().strip() for option in options]
    found = [re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) for word in words]
    held = [number for number, match in enumerate(found) if match]
    first = [number for number, match in enumerate(found) if match and match.start() == 0]
    for chosen in (first, held):
        longest = max(chosen, key=lambda number: len(words[number]), default=None)
        if longest is not None and all(words[number] in words[longest] for number in chosen):
            return longest
    return None


def _begun(text: str, names: Sequence[str], left: Sequence[int]) -> tuple[int, ...]:
    """Which of the options left a text begins, or else the longest that begins the text and ends where a word does."""
    text = _bare(text)
    ahead = tuple(number for number in left if names[number].startswith(text))
    passed = (number for number in left if re.match(rf"{re.escape(names[number])}(?!\w)", text))
    longest = max(passed, key=lambda number: len(names[number]), default=None)
    return ahead or (() if longest is None else (longest,))


def _bare(text: str) -> str:
    return text.lstrip(_BEFORE).rstrip().casefold()
