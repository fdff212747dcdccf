"""Answer options as tokens: how they follow a prompt, what they share, and their log-probabilities.

Shapes: r rows of logits, v tokens in the vocabulary, c tokens that occur in options or in their end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from typing import Any

import torch

from titrate import InputError

TAIL = 64
"""Characters of the prompt that can affect how an option is tokenised, with room to spare."""


@dataclass(frozen=True)
class OptionPrefix:
    """Tokens that some options begin with and that are read once for all of them.

    Parameters
    ----------
    ids
        The tokens; none where an option is one token.
    options
        Each of these options by its number: all its tokens that are scored, which are ``ids`` and one more.
    """

    ids: tuple[int, ...]
    options: dict[int, list[int]]


class OptionTokens:
    """Options in a model's tokens.

    Parameters
    ----------
    tokenizer
        The model's.
    special
        Tokens that no option may hold.
    end
        Ids of what the chat template ends an answer with.
    lead
        White space that the chat template writes between a prompt and its answer.
    """

    def __init__(self, tokenizer: Any, special: Sequence[str], end: Sequence[int], lead: str = "") -> None:
        self._tokenizer, self._special, self._end, self._lead = tokenizer, special, list(end), lead

    def without_lead(self) -> "OptionTokens":
        """The same, where answers follow thoughts and not the prompt."""
        return OptionTokens(self._tokenizer, self._special, self._end)

    def prefixes(self, text: str, options: Sequence[str]) -> list[OptionPrefix]:
        """What must be read to score the options: all tokens of each but the last, once for options that share them.

        Where one option begins another, the end of the answer is scored too, as training learns it: what the chat
        template writes there, and not whatever else would end a generated text.

        Raises
        ------
        InputError
            If an option cannot be told from the prompt or from another, or holds a special token.
        """
        prefixes: dict[tuple[int, ...], dict[int, list[int]]] = {}
        found = [self.continuation(text[-TAIL:], option) for option in options]
        for one, other in combinations(range(len(found)), 2):
            if found[one] == found[other]:
                raise InputError(
                    f"this model's tokeniser reads the options {options[one]!r} and {options[other]!r} as the same; "
                    "word one of them otherwise"
                )
        ended = any(found[a] == found[b][: len(found[a])] for a, b in permutations(range(len(found)), 2))
        for number, said in enumerate(found):
            ids = [*said, *self._end] if ended else said
            prefixes.setdefault(tuple(ids[:-1]), {})[number] = ids
        return [OptionPrefix(ids, chosen) for ids, chosen in prefixes.items()]

    def continuation(self, tail: str, option: str) -> list[int]:
        """Token ids of an option after the prompt's last characters.

        Scores of an option mean something only if its tokens follow the prompt's as they would in running text, so
        tokenise(prompt + option) must begin with tokenise(prompt); some vocabularies need a space between for that.
        """
        return self._read(tail, option)[1]

    def spelled(self, tail: str, option: str) -> str:
        """The option as it is read after the prompt's last characters, with the white space that leads it."""
        return self._read(tail, option)[0]

    def _read(self, tail: str, option: str) -> tuple[str, list[int]]:
        for token in self._special:
            if token in option:
                raise InputError(f"option {option!r} holds {token}, a special token of this model; word it otherwise")
        before = self._tokenizer(tail, add_special_tokens=False).input_ids
        for spelling in (self._lead + option,) if self._lead else (option, f" {option}"):
            whole: list[int] = self._tokenizer(tail + spelling, add_special_tokens=False).input_ids
            if len(whole) > len(before) and whole[: len(before)] == before:
                return spelling, whole[len(before) :]
        raise InputError(f"this model's tokeniser joins the option {option!r} to the prompt; word the option otherwise")

    def log_probabilities(self, logits: torch.Tensor, prefixes: Sequence[OptionPrefix]) -> list[dict[int, float]]:
        """Log-probabilities of each prefix's options, by the options' numbers.

        Parameters
        ----------
        logits
            [r, v]: for one prefix after another, those after the prompt and after each token of the prefix.
        """
        columns = sorted({token for prefix in prefixes for ids in prefix.options.values() for token in ids})
        column_of = {token: column for column, token in enumerate(columns)}
        table = torch.log_softmax(logits.double(), dim=-1)[:, columns].cpu()  # [r, c]
        scores, start = [], 0
        for prefix in prefixes:
            rows = table[start : start + len(prefix.ids) + 1]  # [len(prefix.ids) + 1, c]
            each = torch.arange(len(rows))
            scores.append(
                {
                    number: float(rows[each, [column_of[token] for token in ids]].sum())
                    for number, ids in prefix.options.items()
                }
            )
            start += len(rows)
        return scores
