"""What a server's reply holds: the answer without its thoughts, and log-probabilities of its first tokens."""

import math
from collections.abc import Mapping
from typing import Any

from rag.models.loading.thoughts import TAGS
from rag.models.server.option_reading import AnswerToken
from titrate import TitrateError

_THOUGHTS = ("reasoning_content", "reasoning", "thinking")
"""Where servers that take thoughts out of an answer put them."""

_ROUNDING = 0.01


def thinks(choice: Mapping[str, Any]) -> bool:
    """Whether an answer, or what has been written of it, is or holds thoughts.

    No content at all counts: a server that takes thoughts out has nothing left as long as the model thinks.
    """
    message = choice["message"]
    content = message.get("content")
    if content is None or any(message.get(name) for name in _THOUGHTS):
        return True
    first = next(iter(answer_tokens(choice)), None)
    written = [content.lstrip(), "" if first is None else first.written.strip()]
    return any(text.startswith(begin) for text in written for begin, _ in TAGS) or any(
        end in content for _, end in TAGS
    )


def answer_text(choice: Mapping[str, Any], model: str) -> str:
    """What a model answered, after its thoughts.

    Raises
    ------
    TitrateError
        If it came to no answer: there is none beside its thoughts, or these have no end.
    """
    content = choice["message"].get("content")
    thought = any(choice["message"].get(name) for name in _THOUGHTS)
    cut = choice.get("finish_reason") not in ("stop", None)
    if content is not None:
        ends = [content.rfind(end) + len(end) for _, end in TAGS if end in content]
        answer = str(content[max(ends, default=0) :]).strip()
        unfinished = any(answer.startswith(begin) for begin, _ in TAGS)
        if not unfinished and (answer or not (thought or ends or cut)):
            return answer
    why = "thought, and came to no answer" if content or thought else "gave no answer"
    raise TitrateError(
        f"{model} {why} ({choice.get('finish_reason')}); start its server without thinking, or use another model"
    )


def answer_tokens(choice: Mapping[str, Any]) -> list[AnswerToken]:
    """The tokens of an answer, up to the first whose log-probabilities are missing or malformed."""
    found: list[AnswerToken] = []
    try:
        for entry in choice["logprobs"]["content"]:
            listed = [(str(each["token"]), log_probability(each)) for each in entry["top_logprobs"]]
            own = (str(entry["token"]), log_probability(entry))
            if not listed or not all(math.isfinite(value) for _, value in (*listed, own)):
                break
            told = any(token == own[0] for token, _ in listed)  # some list so many others besides the one written
            found.append(AnswerToken(own[0], tuple(listed if told else [own, *listed])))
    except (KeyError, TypeError, ValueError):
        return found
    return found


def log_probability(entry: Mapping[str, Any]) -> float:
    """Of a token, at most 0; NaN where it is none, since a little above 0 is rounding, and more is no probability."""
    value = float(entry["logprob"])
    return min(value, 0.0) if value <= _ROUNDING else math.nan
