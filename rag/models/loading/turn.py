"""How a model's chat template writes a prompt and the answer behind it.

An answer is scored, generated and trained where the template would write it: some templates write a space before it,
some an empty block of thoughts. What stands between the prompt and the answer is found by rendering one of both.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from jinja2 import Environment

from rag.models.loading.thoughts import open_thoughts
from titrate import InputError, one_line_errors, time_limit

_SECONDS = 5.0
"""That a chat template may take; sound ones take a few milliseconds."""

_MEND = "mend chat_template.jinja, or use another model"


_MARK = "Xanswerx"
_NOTHING_THOUGHT = re.compile(r"<(think|thinking|thought|reasoning)>\s*</\1>\s*")
_NO_THOUGHTS = {"enable_thinking": False, "thinking": False}
"""What templates call the switch for thoughts before the answer."""
_DAY = {"%Y": "2024", "%y": "24", "%m": "07", "%d": "26", "%B": "July", "%b": "Jul", "%A": "Friday", "%a": "Fri"}
_TIME = {"%H": "12", "%I": "12", "%M": "00", "%S": "00", "%p": "PM"}
_SAME_DAY = (
    "{%- macro strftime_now(format) -%}{{ format"
    + "".join(f"|replace('{code}', '{text}')" for code, text in {**_DAY, **_TIME}.items())
    + " }}{%- endmacro -%}"
)
"""A template that writes today's date would give other scores tomorrow, under the same fingerprint."""


@dataclass(frozen=True)
class AnswerTurn:
    """What a template writes around an answer.

    Parameters
    ----------
    opening
        What is read before every answer, as the end of the prompt: an empty block of thoughts, say. Mostly nothing.
    lead
        White space that is part of the answer: its first token is that of " yes", not of "yes", where it is a space.
    end
        What ends an answer.
    thoughts_end, close
        Of a model that thinks: what it ends its thoughts with, and all that stands between thoughts and answer. Empty
        for one that does not.
    """

    opening: str
    lead: str
    end: str
    thoughts_end: str = ""
    close: str = ""

    @property
    def thinks(self) -> bool:
        """Whether the model writes down thoughts before its answer."""
        return bool(self.thoughts_end)

    def after(self, tags: tuple[str, str]) -> "AnswerTurn":
        """The turn of a model that begins thoughts of its own accord, which its template says nothing of."""
        opening = self.opening + self.lead + tags[0]
        return replace(self, opening=opening, lead="", thoughts_end=tags[1], close=_close(tags[1]))


def check_template(template: str | dict[str, str]) -> None:
    """Refuse a chat template that computes powers, which could take for ever in a single step.

    Raises
    ------
    InputError
        If it does, or is no template at all.
    """
    texts = [template] if isinstance(template, str) else list(template.values())
    with one_line_errors("the model's chat template cannot be read", _MEND, InputError):
        tokens = [token for text in texts for token in Environment().lex(text)]
    if any(kind == "operator" and value == "**" for _, kind, value in tokens):
        raise InputError(f"the model's chat template computes powers, which may never end; {_MEND}")


def render_prompt(processor: Any, text: str) -> str:
    """The chat template around an image and the user's text, up to where the model's turn begins."""
    return _render(processor, [_user(text)], prompt=True)


def answer_turn(processor: Any, name: str, special: Sequence[str], ends: Sequence[str]) -> AnswerTurn:
    """What stands between a prompt and its answer, and what ends it.

    Parameters
    ----------
    processor
        The model's, with its chat template.
    name
        The model's, for messages.
    special
        The model's special tokens, of which the first behind an answer ends it.
    ends
        Those that end a text. Where the template writes no special token behind an answer, it is ended by the one of
        them that begins the user's next turn, as GLM's are, else by the first.

    Raises
    ------
    InputError
        If the template cannot be rendered, or writes an answer elsewhere than behind its prompt and thoughts.
    """
    prompt = render_prompt(processor, "question")
    forms: list[Any] = [[{"type": "text", "text": _MARK}], _MARK]
    turns = [(*turn, said) for said in forms if (turn := _turn(processor, said))]
    if not turns:
        raise InputError(f"model {name} has a chat template that writes no answer of the model; use another template")
    before, after, said = min(turns, key=lambda turn: len(turn[0]) + len(turn[1]))  # a list that is printed is longer
    thoughts = open_thoughts(prompt)
    between, close = "", ""
    if thoughts is not None and prompt.startswith(before) and thoughts[0] in prompt[len(before) :]:
        # What was said earlier is shown without its thoughts.
        close = _close(thoughts[1])
    elif thoughts is not None and before.startswith(prompt) and thoughts[1] in before[len(prompt) :]:
        close = before[len(prompt) :]
    elif before.startswith(prompt) and thoughts is None:
        between = before[len(prompt) :]
    elif prompt.startswith(before) and _NOTHING_THOUGHT.fullmatch(prompt[len(before) :]):
        pass  # the switch closes the thoughts in the prompt, and what was said earlier is shown without
    elif before.split() == prompt.split() and thoughts is None:
        pass  # white space apart, as where the model's turn begins otherwise
    else:
        raise InputError(
            f"model {name} has a chat template that writes an answer elsewhere than behind its prompt; "
            "use another template"
        )
    opening, lead = (between, "") if between.strip() else ("", between)
    written = min(((after.index(token), -len(token)) for token in special if token in after), default=None)
    if written is not None:
        end = after[: written[0] - written[1]]
    else:
        asked_on = _turn(processor, said, _user("question")) if ends else None
        going_on = asked_on[1].lstrip() if asked_on else ""
        end = next((token for token in ends if going_on.startswith(token)), next(iter(ends), ""))
    return AnswerTurn(opening, lead, end, "" if thoughts is None else thoughts[1], close)


def _close(end: str) -> str:
    """What is written between thoughts and answer where no template says so: as Qwen's and DeepSeek's do."""
    return f"\n{end}\n\n"


def _turn(processor: Any, content: Any, *later: dict[str, Any]) -> tuple[str, str] | None:
    """What is written before and after an answer; None if it is not written once."""
    answer = {"role": "assistant", "content": content}
    try:
        whole = _render(processor, [_user("question"), answer, *later], prompt=False)
    except InputError:  # a template takes an answer as text or as a list of parts, some either
        return None
    before, *rest = whole.split(_MARK)
    return (before, rest[0]) if len(rest) == 1 else None


def _user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}


def _render(processor: Any, messages: list[dict[str, Any]], *, prompt: bool) -> str:
    template = processor.chat_template
    if isinstance(template, dict):
        template = template.get("default", "")
    switches = {name: value for name, value in _NO_THOUGHTS.items() if name in template}
    # A chat template is a program that came with the model: what it raises is one line, and it comes to an end.
    with one_line_errors("the model's chat template failed", _MEND, InputError), time_limit(_SECONDS):
        rendered: str = processor.apply_chat_template(
            messages, chat_template=_SAME_DAY + template, tokenize=False, add_generation_prompt=prompt, **switches
        )
    return rendered
