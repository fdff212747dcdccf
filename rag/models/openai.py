"""A model behind any OpenAI-compatible server, such as vLLM, SGLang, llama.cpp or `transformers serve`, as an MLLM."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rag.models.base import MLLM, Prompt, PromptTooLongError
from rag.models.server.connection import EXAMPLE, OpenAIServer, RefusedError, TooLongError
from rag.models.server.dialect import QUESTION, Dialect, find_dialect
from rag.models.server.exact import EXACT, ExactScores
from rag.models.server.messages import SPECIAL, data_url, data_urls, user_message
from rag.models.server.option_reading import LEAST_MASS, RULE, named_option, option_scores, tokens_needed
from rag.models.server.replies import answer_text, answer_tokens, thinks
from rag.models.server.sameness import Signature
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

WRITTEN_TOKENS = 96
"""Most tokens of an answer that is searched for the words of an option."""

_IDENTITY = ("id", "root", "parent", "owned_by")  # `created` is the time of asking to some servers
_SHOWN, _LONGEST_LIST = 5, 200
_LOOK_AFTER = 32  # requests, after which the opening question is asked again


class OpenAIMLLM(MLLM):
    """A model that a server runs. Make one with `OpenAIMLLM.open`.

    Options are scored by all their tokens where the server can tell these (`rag.models.server.exact`), or else by the
    log-probabilities that it lists for the first tokens of the answer (`rag.models.server.option_reading`). Where
    these do not tell how likely every option is, and where the server lists none, the words of the answer decide:
    probability 1 for the option that they name, and the same probability for every option if they name none. Options
    that are equally likely stay so. Thoughts before an answer are left out where the template can, or passed over.

    A certificate holds for a server scored in this way that treats later questions as it did those of the calibration.
    Scores are no function of image and message alone: servers round otherwise when they hold part of a prompt already,
    or read others beside it, and in bfloat16 that changes some answers at temperature 0.

    The fingerprint is of the model's name, what the server says of the model, and how it is asked, as its weights
    cannot be read. The address is not part of it, so that the same model may move to another machine. If other
    weights take the model's place while questions are answered, its answer to the opening question tells, and an
    error is raised.
    """

    def __init__(self, server: OpenAIServer, model: str, said: Mapping[str, Any], dialect: Dialect) -> None:
        self.server, self.model, self.dialect = server, model, dialect
        self._identity = {"name": model} | {key: said[key] for key in _IDENTITY if isinstance(said.get(key), str)}
        if isinstance(said.get("meta"), dict):  # of llama.cpp: the sizes of the weights
            self._identity["meta"] = hash_json(said["meta"])
        said_tokens = said.get("max_model_len")
        self._context_tokens = said_tokens if type(said_tokens) is int and said_tokens > 0 else ASSUMED_CONTEXT
        self._warned: set[str] = set()
        self._exact: ExactScores | None = None
        self._signature: Signature | None = None
        self._unlooked = 0
        self._opening_choice: Callable[[], dict[str, Any]] = dict
        server.on_away = self._note

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
        opened = cls(server, model, known.get(model, {}), Dialect())
        try:
            opened._look_around()
        except RefusedError as refusal:
            # Not its name: servers may know more models than they list.
            raise InputError(f"{refusal}; {names}, and the model must read images") from None
        server.patient = True
        return opened

    def _look_around(self) -> None:
        """Find out what the server takes, and tell what it does not."""
        message = user_message(data_url(Image.new("RGB", (64, 64), "grey")), QUESTION)

        def ask(dialect: Dialect, most: int) -> dict[str, Any]:
            body = {"model": self.model, "messages": [message], **dialect.body(most, listed=True)}
            return self.server.complete([body])[0]

        opening = find_dialect(ask)
        self.dialect, self._signature = opening.dialect, Signature.of(opening.choice)
        self._opening_choice = lambda: ask(self.dialect, 1)
        for note in opening.notes(self.model):
            _warn(note)
        exact = ExactScores(self.server, self.model, self.dialect)
        if self.dialect.listed and exact.works(message):
            self._exact = exact

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what the server says of its model and of how options are scored; see the class for its limits."""
        rule = [RULE, EXACT if self._exact else None, WRITTEN_TOKENS, self.dialect.rule]
        parts = {"server's model": self._identity, "rule": rule, "tokens per report": self.tokens_per_report}
        return hash_json(parts)

    @property
    def versions(self) -> dict[str, str]:
        """How options are scored, and, where the server says it, its own name for how it is set up."""
        listed = f"the {self.dialect.listed} likeliest first tokens, else words" if self.dialect.listed else "words"
        told = {} if self._signature is None else self._signature.told
        return {"options read by": "all their tokens" if self._exact else listed, **told}

    def other_weights(self, versions: Mapping[str, str]) -> str | None:
        """How its answer to the opening question differs from the one among these versions, beyond rounding."""
        return None if self._signature is None else Signature.kept(versions).differs(Signature.kept(self.versions))

    @property
    def tokens_per_report(self) -> int:
        """How many tokens one report may take, by the context that the server says it has, or else one of 4,096.

        Its tokeniser is not known, so tokens are estimated (`rag.token_budget.estimated_tokens`).
        """
        return share_of_report(self._context_tokens, None)

    def without_special_tokens(self, text: str) -> str:
        """A text in which a space stands for each thing that a model may take for a special token."""
        return SPECIAL.sub(" ", text)

    def generate(self, prompts: Sequence[Prompt], max_new_tokens: int = 64) -> list[str]:
        """The model's answer to each prompt at temperature 0.

        Raises
        ------
        InputError
            If a prompt is too long for the model.
        TitrateError
            If the server fails.
        """
        return [answer_text(choice, self.model) for choice in self._ask(prompts, max_new_tokens)]

    def score(self, prompts: Sequence[Prompt], options: Sequence[Sequence[str]]) -> list[NDArray[np.float64]]:
        """Log-probability of each prompt's options as its answer, each float64 [number of options]; see the class.

        Raises
        ------
        InputError
            If a prompt is too long for the model.
        TitrateError
            If the server fails, or no longer lists log-probabilities.
        """
        scores = self._exactly(prompts, options) if self._exact else {}
        rest = [row for row in range(len(prompts)) if row not in scores]
        if rest and self.dialect.listed:
            scores |= self._by_tokens(rest, prompts, options)
            rest = [row for row in rest if row not in scores]
            if rest:
                self._note(
                    "the tokens that the server lists leave it open how likely some options are; those answers are "
                    "judged by their words, with probability 1"
                )
        for row, answer in zip(rest, self.generate([prompts[row] for row in rest], WRITTEN_TOKENS), strict=True):
            scores[row] = self._by_words(answer, options[row])
        return [scores[row] for row in range(len(prompts))]

    def _exactly(self, prompts: Sequence[Prompt], options: Sequence[Sequence[str]]) -> dict[int, NDArray[np.float64]]:
        """Scores by the options' tokens, by row, of those rows whose options the server reads as written."""
        exact = self._exact
        assert exact is not None
        trees = {row: tree for row, choices in enumerate(options) if (tree := exact.tree(choices)) is not None}
        images = data_urls(prompts[row].image for row in trees)
        asked: list[Prompt] = []
        bodies: list[dict[str, Any]] = []
        for row, tree in trees.items():
            bodies += exact.requests(user_message(images[id(prompts[row].image)], prompts[row].text), tree)
            asked += [prompts[row]] * len(tree.nodes)
        choices = iter(self._complete(asked, bodies))
        scores = {row: exact.scores(tree, [next(choices) for _ in tree.nodes]) for row, tree in trees.items()}
        if any(np.exp(found).sum() < LEAST_MASS for found in scores.values()):
            self._note(
                f"{self.model} would rather answer some questions with none of the options: together they have less "
                "than a tenth of the probability there, and are compared with each other alone"
            )
        return scores

    def _by_tokens(
        self, rows: Sequence[int], prompts: Sequence[Prompt], options: Sequence[Sequence[str]]
    ) -> dict[int, NDArray[np.float64]]:
        """Scores by listed tokens, by row, of those rows where these tell all."""
        scores = {}
        needed = [tokens_needed(options[row]) for row in rows]
        for row, choice in zip(rows, self._ask([prompts[row] for row in rows], needed, listed=True), strict=True):
            tokens = answer_tokens(choice)
            if not tokens and choice["message"].get("content"):
                raise TitrateError(
                    f"server {self.server.url} no longer lists log-probabilities, as it did at first; start it as "
                    "it was, or run again to go by the words of answers"
                )
            found = option_scores(tokens, options[row], whole=choice.get("finish_reason") == "stop")
            if found is not None and not thinks(choice):
                scores[row] = found
        return scores

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
        bodies = [
            {
                "model": self.model,
                "messages": [user_message(images[id(prompt.image)], prompt.text)],
                **self.dialect.body(length, listed=listed),
            }
            for prompt, length in zip(prompts, lengths, strict=True)
        ]
        return self._complete(prompts, bodies)

    def _complete(self, prompts: Sequence[Prompt], bodies: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The server's first choice for each request about a prompt, all by the model that was opened."""
        try:
            choices = self.server.complete(bodies)
        except TooLongError as error:
            raise PromptTooLongError(str(error), prompts[error.row]) from None
        self._unlooked += len(bodies)
        if self.server.was_away or self._unlooked >= _LOOK_AFTER:
            self._check_same()
        return choices

    def _check_same(self) -> None:
        """Refuse to go on if the opening question is answered otherwise than at first."""
        self.server.was_away, self._unlooked = False, 0
        if self._signature is None:
            return
        now = Signature.of(self._opening_choice())
        how = self._signature.differs(now)
        if how is not None:
            raise TitrateError(
                f"server {self.server.url} no longer runs the model that it ran at first: to the same question {how}; "
                "start it with that model again, or calibrate this one"
            )
        if now.system != self._signature.system:
            self._note("the server was set up anew while questions were answered, and its model answers as before")

    def _note(self, message: str) -> None:
        """Warn once."""
        if message not in self._warned:
            self._warned.add(message)
            _warn(message)


def _warn(message: str) -> None:
    warnings.warn(message, TitrateWarning, stacklevel=3)
