"""A model behind any OpenAI-compatible server, such as vLLM, SGLang, llama.cpp or `transformers serve`, as an MLLM."""

import math
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rag.models.base import MLLM, Prompt
from rag.models.server.connection import EXAMPLE, OpenAIServer, RefusedError
from rag.models.server.images import data_urls
from rag.models.server.option_reading import RULE, AnswerToken, named_option, option_scores, tokens_needed
from rag.token_budget import ASSUMED_CONTEXT, share_of_report
from titrate import (
    InputError,
    TitrateError,
    TitrateWarning,
    hash_json,
    is_private,
    is_this_machine,
    one_line,
    printable,
)

LISTED = 20
"""Alternatives whose log-probabilities are asked for at each token of an answer: the most that common servers list."""
WRITTEN_TOKENS = 96
"""Most tokens of an answer that is searched for the words of an option."""

_IDENTITY = ("id", "root", "parent", "owned_by")  # `created` is the time of asking to some servers
_ROUNDING = 0.01
_SPECIAL = re.compile(r"<[^<>\s]{1,40}>|\[/?(?:INST|IMG)\w*\]")
_SHOWN, _LONGEST_LIST = 5, 200


class OpenAIMLLM(MLLM):
    """A model that a server runs. Make one with `OpenAIMLLM.open`.

    Options are scored by the log-probabilities that the server lists for the first tokens of the answer, as
    `rag.models.server.option_reading` describes. Where these do not tell how likely every option is, and where the
    server lists none, the words of the answer decide: probability 1 for the option that they name, and the same
    probability for every option if they name none. Options that are equally likely stay so.

    A certificate holds for a server scored in this way that treats later questions as it did those of the calibration.
    Scores are no function of image and message alone: servers round otherwise when they hold part of a prompt already,
    or read others beside it, and in bfloat16 that changes some answers at temperature 0.

    The fingerprint is of the model's name and what the server says of the model, as its weights cannot be read: if a
    server changes weights under the same name, the fingerprint does not show it. The address is not part of the
    fingerprint, so that the same model may move to another machine.
    """

    def __init__(self, server: OpenAIServer, model: str, said: Mapping[str, Any], *, lists_tokens: bool) -> None:
        self.server, self.model, self._lists_tokens = server, model, lists_tokens
        self._identity = {"name": model} | {key: said[key] for key in _IDENTITY if isinstance(said.get(key), str)}
        said_tokens = said.get("max_model_len")
        self._context_tokens = said_tokens if type(said_tokens) is int and said_tokens > 0 else ASSUMED_CONTEXT
        self._warned: set[str] = set()

    @classmethod
    def open(cls, address: str, *, api_key: str | None = None) -> "OpenAIMLLM":
        """Connect to a server: ask which models it has, and ask the chosen one a question, to see what it supports.

        Parameters
        ----------
        address
            The URL up to ``/v1``, and the model's name after ``#``, unless the server has one model only:
            ``http://localhost:8000/v1#MODEL``.
        api_key
            The server's key; it is neither stored nor shown.

        Raises
        ------
        InputError
            If this is no address, the server does not have the model, or the model does not read images.
        TitrateError
            If the server cannot be reached, refuses the key, or is not OpenAI-compatible.
        """
        url, _, model = address.partition("#")
        server = OpenAIServer(url, api_key)
        if not is_this_machine(server.url):
            how, mend = ("", "") if is_private(server.url) else (" over plain http", "; https would hide them")
            host = urlsplit(server.url).hostname
            _warn(f"images, and reports of other patients, go{how} to {host}, which is not this machine{mend}")
        known = {str(entry["id"]): entry for entry in server.models()}
        listed = printable(one_line(", ".join([*known][:_SHOWN])), longest=_LONGEST_LIST)
        names = f"it has {listed}" if known else "it lists none"
        if not model and len(known) != 1:
            raise InputError(f"which model of server {server.url}? {names}; give one as {EXAMPLE}")
        model = model or next(iter(known))
        opened = cls(server, model, known.get(model, {}), lists_tokens=True)
        question = Prompt(Image.new("RGB", (64, 64), "grey"), "Is this an image?\nOptions: yes, no")
        try:
            tokens = _answer_tokens(opened._ask([question], 1, listed=True)[0])
            reason = None if tokens else "it lists no log-probabilities"
        except RefusedError as error:
            reason = str(error)
            try:
                opened._ask([question], 1)
            except RefusedError as refusal:
                # Not its name: servers may know more models than they list.
                raise InputError(f"{refusal}; {names}, and the model must read images") from None
        if reason is not None:
            _warn(
                f"options are told from the words that {model} writes, with probability 0 or 1, as the server does not "
                f"tell log-probabilities ({reason})"
            )
            opened._lists_tokens = False
        return opened

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what the server says of its model and of how options are scored; see the class for its limits."""
        rule = [RULE, LISTED if self._lists_tokens else 0, WRITTEN_TOKENS]
        parts = {"server's model": self._identity, "rule": rule, "tokens per report": self.tokens_per_report}
        return hash_json(parts)

    @property
    def tokens_per_report(self) -> int:
        """How many tokens one report may take, by the context that the server says it has, or else one of 4,096.

        Its tokeniser is not known, so tokens are estimated (`rag.token_budget.estimated_tokens`).
        """
        return share_of_report(self._context_tokens, None)

    def without_special_tokens(self, text: str) -> str:
        """A text in which a space stands for each thing that a model may take for a special token."""
        return _SPECIAL.sub(" ", text)

    def generate(self, prompts: Sequence[Prompt], max_new_tokens: int = 64) -> list[str]:
        """The model's answer to each prompt at temperature 0.

        Raises
        ------
        InputError
            If a prompt is too long for the model.
        TitrateError
            If the server fails.
        """
        return [_text(choice).strip() for choice in self._ask(prompts, max_new_tokens)]

    def score(self, prompts: Sequence[Prompt], options: Sequence[Sequence[str]]) -> list[NDArray[np.float64]]:
        """Log-probability of each prompt's options as its answer, each float64 [number of options]; see the class.

        Raises
        ------
        InputError
            If a prompt is too long for the model.
        TitrateError
            If the server fails, or no longer lists log-probabilities.
        """
        scores: dict[int, NDArray[np.float64]] = {}
        if self._lists_tokens:
            needed = [tokens_needed(choices) for choices in options]
            for row, choice in enumerate(self._ask(prompts, needed, listed=True)):
                tokens = _answer_tokens(choice)
                if not tokens and _text(choice):
                    raise TitrateError(
                        f"server {self.server.url} no longer lists log-probabilities, as it did at first; start it as "
                        "it was, or run again to go by the words of answers"
                    )
                found = option_scores(tokens, options[row], whole=choice.get("finish_reason") == "stop")
                if found is not None:
                    scores[row] = found
        rest = [row for row in range(len(prompts)) if row not in scores]
        if rest and self._lists_tokens:
            self._note(
                "the tokens that the server lists leave it open how likely some options are; those answers are judged "
                "by their words, with probability 1"
            )
        for row, answer in zip(rest, self.generate([prompts[row] for row in rest], WRITTEN_TOKENS), strict=True):
            scores[row] = self._by_words(answer, options[row])
        return [scores[row] for row in range(len(prompts))]

    def _by_words(self, answer: str, options: Sequence[str]) -> NDArray[np.float64]:
        named = named_option(answer, options)
        if named is None:
            self._note("some answers name none of the options; all are then equally likely, and the first is given")
            return np.full(len(options), -np.log(len(options)))
        return np.where(np.arange(len(options)) == named, 0.0, -np.inf)

    def _ask(
        self, prompts: Sequence[Prompt], most: int | Sequence[int], *, listed: bool = False
    ) -> list[dict[str, Any]]:
        """The server's first choice for each prompt, at most ``most`` tokens, with log-probabilities if ``listed``."""
        lengths = [most] * len(prompts) if isinstance(most, int) else most
        images = data_urls(prompt.image for prompt in prompts)
        more: dict[str, Any] = {"logprobs": True, "top_logprobs": LISTED} if listed else {}
        return self.server.complete(
            [
                {
                    "model": self.model,
                    "messages": [_message(images[id(prompt.image)], prompt.text)],
                    "temperature": 0,
                    "max_tokens": length,
                    **more,
                }
                for prompt, length in zip(prompts, lengths, strict=True)
            ]
        )

    def _note(self, message: str) -> None:
        """Warn once."""
        if message not in self._warned:
            self._warned.add(message)
            _warn(message)


def _warn(message: str) -> None:
    warnings.warn(message, TitrateWarning, stacklevel=3)


def _message(image: str, text: str) -> dict[str, Any]:
    """A chat message: the image, then the text without what a model may take for a special token."""
    parts = [{"type": "image_url", "image_url": {"url": image}}, {"type": "text", "text": _SPECIAL.sub(" ", text)}]
    return {"role": "user", "content": parts}


def _text(choice: Mapping[str, Any]) -> str:
    return choice["message"]["content"] or ""


def _log_probability(entry: Mapping[str, Any]) -> float:
    """Of a token, at most 0; NaN where it is none, since a little above 0 is rounding, and more is no probability."""
    value = float(entry["logprob"])
    return min(value, 0.0) if value <= _ROUNDING else math.nan


def _answer_tokens(choice: Mapping[str, Any]) -> list[AnswerToken]:
    """The tokens of an answer, up to the first whose log-probabilities are missing or malformed."""
    found: list[AnswerToken] = []
    try:
        for entry in choice["logprobs"]["content"]:
            listed = [(str(each["token"]), _log_probability(each)) for each in entry["top_logprobs"]]
            own = (str(entry["token"]), _log_probability(entry))
            if not listed or not all(math.isfinite(value) for _, value in (*listed, own)):
                break
            told = any(token == own[0] for token, _ in listed)  # some list so many others besides the one written
            found.append(AnswerToken(own[0], tuple(listed if told else [own, *listed])))
    except (KeyError, TypeError, ValueError):
        return found
    return found
