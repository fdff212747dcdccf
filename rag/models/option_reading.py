"""Which of given options an answer is: by the log-probabilities of its first tokens, or by its words.

A server does not score options. It lists, for each token of the answer that it writes, the most likely alternatives. An
option's probability is taken to be that the answer begins as the option does, up to the token that sets it apart from
the other options: the first token of "yes" or "no"; the second of "left lung" and "left pleura", whose first is the
same. Upper and lower case are the same, and spaces, quotes and asterisks before the first word are ignored.

Where one token sets options apart, their log-probabilities are those of `TransformersMLLM.score`, plus those of their
other spellings. Of longer options only the tokens up to the deciding one are read, so that those differ.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RULE = "first tokens that tell options apart, any case; then words: version 1"
"""Name of the rule by which options are scored, part of a model's fingerprint: a changed rule needs a new name."""

_BEFORE = " \t\n\r*_\"'`"
_MOST_TOKENS = 24
_LESS = 1 - 1e-6


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
    was written, the next token tells them apart; if it was not written, they share its probability evenly. An option
    that no listed token begins is given the most it could have: almost as much as the least likely listed token, or
    all that the listed ones leave, whichever is less. An answer that ended is taken to have ended there with
    certainty, unless the server lists the token that ends answers.

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
        # An unlisted token is less likely than every listed one, and no likelier than what the listed ones leave.
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
    """The number of the option that an answer's words name, or None if they name none or several.

    That is the option that the answer begins with, or else the only one that it contains. Where the answer fits both
    "no" and "no change", it is the longer one.
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
    """Options left that begin with a text, or else the longest of them that the text begins with, as whole words."""
    text = _bare(text)
    ahead = tuple(number for number in left if names[number].startswith(text))
    passed = (number for number in left if re.match(rf"{re.escape(names[number])}(?!\w)", text))
    longest = max(passed, key=lambda number: len(names[number]), default=None)
    return ahead or (() if longest is None else (longest,))


def _bare(text: str) -> str:
    return text.lstrip(_BEFORE).rstrip().casefold()
