"""Exact log-probabilities of options, from servers that tell them for any token and continue an answer: vLLM.

An option's tokens are what the server's own tokeniser writes behind the prompt. Options are the leaves of a tree of
tokens; one request for each inner node asks for the log-probabilities of the tokens that follow there, with what
leads to it as the beginning of the answer. So the sum over an option's tokens is that of `TransformersMLLM.score`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.models.server.connection import OpenAIServer, RefusedError
from rag.models.server.dialect import QUESTION, Dialect
from rag.models.server.messages import SPECIAL
from rag.models.server.replies import log_probability
from titrate import TitrateError

EXACT = "all tokens of each option, and the answer's end where one option begins another: version 2"
"""Name of the rule, part of a model's fingerprint where it is used: a changed rule needs a new name."""

_ID = "token_id:"
_OPEN = {"add_generation_prompt": False, "continue_final_message": True}
_CLOSED = {"add_generation_prompt": False, "continue_final_message": False}


@dataclass(frozen=True)
class OptionTree:
    """What must be asked to score options.

    Attributes
    ----------
    nodes
        For each request, how the answer begins, and the tokens of which the log-probabilities are wanted.
    steps
        For each option, where its tokens' log-probabilities are: the number of the request, and the token.
    """

    nodes: tuple[tuple[str, tuple[int, ...]], ...]
    steps: tuple[tuple[tuple[int, int], ...], ...]

    def scores(self, found: Sequence[Mapping[int, float]]) -> NDArray[np.float64]:
        """Log-probability of each option, float64 [options], from those of the nodes' tokens."""
        return np.array([sum(found[node][token] for node, token in steps) for steps in self.steps], dtype=np.float64)


Tokens = Callable[[str, Mapping[str, bool]], tuple[int, ...] | None]
"""The tokens of a prompt with an answer that begins so, rendered with these settings; None if there are none."""


def option_tree(
    options: Sequence[str], tokens: Tokens, text: Callable[[Sequence[int]], str | None]
) -> OptionTree | None:
    """The tree of some options; None if a server cannot be made to read them as they would be written.

    Parameters
    ----------
    options
        At least two, all different.
    tokens
        See `Tokens`; an empty answer is the prompt alone.
    text
        The text of tokens.
    """
    prompt = tokens("", {})
    if not prompt:
        return None

    def behind(answer: str, how: Mapping[str, bool]) -> tuple[int, ...]:
        whole = tokens(answer, how) or ()
        return whole[len(prompt) :] if whole[: len(prompt)] == prompt else ()

    paths = [behind(option, _OPEN) for option in options]
    spelled = [text(path) for path in paths]
    same = (
        one is not None and one.strip().casefold() == option.strip().casefold()  # some vocabularies fold capitals
        for one, option in zip(spelled, options, strict=True)
    )
    if not all(paths) or not all(same) or len(set(paths)) < len(paths):
        return None
    if any(one == other[: len(one)] for one, other in permutations(paths, 2)):
        ends = [behind(option, _CLOSED) for option in options]
        if any(whole[: len(path)] != path or len(whole) == len(path) for whole, path in zip(ends, paths, strict=True)):
            return None
        paths = [
            whole[: len(path) + _ending(whole[len(path) :], text)] for whole, path in zip(ends, paths, strict=True)
        ]
    followers: dict[tuple[int, ...], set[int]] = {}
    for path in paths:
        for length in range(len(path)):
            followers.setdefault(path[:length], set()).add(path[length])
    begun = {}
    for path in followers:
        said = text(path) or ""
        begun[path] = next((one for one in (said, said.strip()) if not path or behind(one, _OPEN) == path), None)
    if any(said is None for said in begun.values()):
        return None
    numbers = {path: number for number, path in enumerate(followers)}
    nodes = tuple((begun[path] or "", tuple(sorted(ids))) for path, ids in followers.items())
    steps = (tuple((numbers[path[:length]], path[length]) for length in range(len(path))) for path in paths)
    return OptionTree(nodes, tuple(steps))


def _ending(rest: Sequence[int], text: Callable[[Sequence[int]], str | None]) -> int:
    """How many tokens end an answer: those up to the first special one, as in process, or else the next."""
    special = (number for number, token in enumerate(rest) if SPECIAL.fullmatch((text([token]) or "").strip()))
    return next(special, 0) + 1


class ExactScores:
    """Asks a server for the log-probabilities of tokens by their numbers.

    Parameters
    ----------
    server, model, dialect
        The server, its model, and how it is asked.
    """

    def __init__(self, server: OpenAIServer, model: str, dialect: Dialect) -> None:
        self._server, self._model, self._dialect = server, model, dialect
        self._trees: dict[tuple[str, ...], OptionTree | None] = {}

    def works(self, message: dict[str, Any]) -> bool:
        """Whether the server can do this, shown by a question with the options yes and no."""
        tree = self.tree(("yes", "no"))
        if tree is None:
            return False
        try:
            choices = self._server.complete(self.requests(message, tree))
            scores = self.scores(tree, choices)
        except (RefusedError, TitrateError):
            return False
        return bool(np.isfinite(scores).all() and np.exp(scores).sum() <= 1.01)

    def tree(self, options: Sequence[str]) -> OptionTree | None:
        """The options' tree; None if the server does not read them as they would be written."""
        key = tuple(options)
        if key not in self._trees:
            self._trees[key] = option_tree(key, self._tokens, self._text)
        return self._trees[key]

    def requests(self, message: dict[str, Any], tree: OptionTree) -> list[dict[str, Any]]:
        """The requests for a message's options, one for each node."""
        return [
            {
                "model": self._model,
                "messages": [message, *([{"role": "assistant", "content": said}] if said else [])],
                **self._dialect.body(1, listed=False),
                "logprobs": True,
                "logprob_token_ids": list(ids),
                "return_tokens_as_token_ids": True,
                **(_OPEN if said else {}),
            }
            for said, ids in tree.nodes
        ]

    def scores(self, tree: OptionTree, choices: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
        """Log-probabilities of the options, float64 [options], from the answers to `requests`.

        Raises
        ------
        TitrateError
            If a reply lacks what was asked for.
        """
        found = [_by_token(choice) for choice in choices]
        if any(not told.keys() >= set(ids) for told, (_, ids) in zip(found, tree.nodes, strict=True)):
            raise TitrateError(
                f"server {self._server.url} no longer tells the log-probabilities of the tokens that it is asked for, "
                "as it did at first; start it as it was, or run again"
            )
        return tree.scores(found)

    def _tokens(self, answer: str, how: Mapping[str, bool]) -> tuple[int, ...] | None:
        messages = [{"role": "user", "content": [{"type": "text", "text": QUESTION}]}]
        if answer:
            messages.append({"role": "assistant", "content": answer})
        asked = self._dialect.body(1, listed=False)
        more = {name: asked[name] for name in ("chat_template_kwargs",) if name in asked}
        found = self._server.beside("/tokenize", {"model": self._model, "messages": messages, **more, **how})
        ids = (found or {}).get("tokens")
        return tuple(ids) if isinstance(ids, list) and all(type(token) is int for token in ids) else None

    def _text(self, ids: Sequence[int]) -> str | None:
        if not ids:
            return ""
        found = self._server.beside("/detokenize", {"model": self._model, "tokens": list(ids)})
        text = (found or {}).get("prompt")
        return text if isinstance(text, str) else None


def _by_token(choice: Mapping[str, Any]) -> dict[int, float]:
    """Log-probabilities by the token's number."""
    try:
        [entry] = choice["logprobs"]["content"]
        named = [(str(each["token"]), log_probability(each)) for each in entry["top_logprobs"]]
    except (KeyError, TypeError, ValueError):
        return {}
    numbered = [(name.removeprefix(_ID), value) for name, value in named if math.isfinite(value)]
    return {int(number): value for number, value in numbered if number.isdecimal()}
