"""What a server takes and tells: found out with one small question, by asking for less where it refuses."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rag.models.server.connection import RefusedError
from rag.models.server.option_reading import named_option
from rag.models.server.replies import answer_tokens, thinks

LISTED = (20, 10, 5)
"""Alternatives whose log-probabilities are asked for at each token of an answer: the most that common servers list, and
what is tried where that is refused."""
THOUGHT_TOKENS = 2048
"""Tokens that a model may think for that cannot be told not to."""
QUESTION = "Is this an image?\nOptions: yes, no"
_OPTIONS = ("yes", "no")
_LOOK_TOKENS = 1024
_CLEAR = 0.5

Ask = Callable[["Dialect", int], dict[str, Any]]
"""Asks the opening question in a dialect, for at most so many tokens, and gives the server's first choice."""


@dataclass(frozen=True)
class Dialect:
    """How a server is asked.

    Attributes
    ----------
    listed
        How many alternatives it lists for each token; 0 if it lists none, so that the words of answers decide.
    limit
        The parameter that bounds an answer's tokens.
    cold
        Whether it takes temperature 0.
    silent
        Whether the chat template is told to leave thoughts out.
    thinks
        Whether the model thinks all the same.
    """

    listed: int = LISTED[0]
    limit: str = "max_tokens"
    cold: bool = True
    silent: bool = False
    thinks: bool = False

    @property
    def rule(self) -> list[Any]:
        """What of it decides answers, for a fingerprint."""
        return [self.listed, self.cold, self.silent, THOUGHT_TOKENS if self.thinks else 0]

    def body(self, most: int, *, listed: bool) -> dict[str, Any]:
        """The parameters of a request for an answer of at most so many tokens, with log-probabilities or without."""
        found: dict[str, Any] = {self.limit: most + (THOUGHT_TOKENS if self.thinks else 0)}
        if self.cold:
            found["temperature"] = 0
        if self.silent:
            found["chat_template_kwargs"] = {"enable_thinking": False}
        if listed and self.listed:
            found |= {"logprobs": True, "top_logprobs": self.listed}
        return found

    def less(self, reason: str) -> "Dialect | None":
        """What to ask for instead of what a server refused with this reason; None if there is nothing left."""
        said = reason.casefold()
        if self.limit == "max_tokens" and ("max_completion_tokens" in said or "'max_tokens'" in said):
            return replace(self, limit="max_completion_tokens")
        if self.cold and "temperature" in said:
            return replace(self, cold=False)
        if self.listed:
            fewer = [number for number in LISTED if number < self.listed] if "logprob" in said else []
            return replace(self, listed=max(fewer, default=0))
        return None


@dataclass(frozen=True)
class Opening:
    """What the opening question showed: the dialect, the answer in it, and what was refused of each kind."""

    dialect: Dialect
    choice: dict[str, Any]
    refused: Mapping[str, str]

    def notes(self, model: str) -> list[str]:
        """What a user is to know of how a model of this name is asked."""
        found = []
        if self.dialect.thinks:
            found.append(
                f"{model} thinks before it answers and cannot be told not to; options are told from the words after "
                "its thoughts, with probability 0 or 1"
            )
        elif not self.dialect.listed:
            found.append(
                f"options are told from the words that {model} writes, with probability 0 or 1, as the server does "
                f"not tell log-probabilities ({self.refused.get('listed', 'it lists none')})"
            )
        if not self.dialect.cold:
            found.append(
                f"the server refuses temperature 0 ({self.refused['temperature']}); answers in words may be others "
                "each time"
            )
        return found


def find_dialect(ask: Ask) -> Opening:
    """Ask less and less until a server answers, and then see whether its model thinks.

    Raises
    ------
    RefusedError
        If it refuses the plainest question, too.
    """
    dialect, refused = Dialect(), {}
    while True:
        try:
            choice = ask(dialect, 1)
            break
        except RefusedError as error:
            less = dialect.less(str(error))
            if less is None:
                raise
            changed = "temperature" if less.cold != dialect.cold else "listed" if less.listed < dialect.listed else ""
            refused[changed] = str(error)
            dialect = less
    dialect, choice = _without_thoughts(ask, dialect, choice)
    if dialect.listed and not answer_tokens(choice):
        dialect, refused = replace(dialect, listed=0), {"listed": "it lists no log-probabilities", **refused}
    return Opening(dialect, choice, refused)


def _without_thoughts(ask: Ask, dialect: Dialect, choice: dict[str, Any]) -> tuple[Dialect, dict[str, Any]]:
    """Have the template leave thoughts out, where there are any.

    A template may begin the thoughts itself, so that nothing marks the first: then the options are unlikely.
    """
    seen = thinks(choice)
    if not seen and _mass(choice) >= _CLEAR:
        return dialect, choice
    silent = replace(dialect, silent=True)
    try:
        quiet = ask(silent, 1)
        if not thinks(quiet) and (seen or _mass(quiet) >= _CLEAR):
            return silent, quiet
    except RefusedError:
        silent = dialect
    if not seen:
        long = ask(replace(dialect, listed=0), _LOOK_TOKENS)
        seen = thinks(long) or long.get("finish_reason") == "length"
    return (replace(silent, thinks=True, listed=0), choice) if seen else (dialect, choice)


def _mass(choice: dict[str, Any]) -> float:
    """The probability of yes and no together, as the answer's first token; 1 where words name one of them."""
    tokens = answer_tokens(choice)
    if not tokens:
        return float(named_option(choice["message"].get("content") or "", _OPTIONS) is not None)
    return sum(math.exp(value) for token, value in tokens[0].listed if named_option(token, _OPTIONS) is not None)
