"""The words around a question: one template, whose fingerprint is part of every certificate.

The order is instructions, contexts from most to least similar, question: the prompts of k and k + 1 contexts share all
that stands before context k + 1, so that a key-value cache can be reused (see docs/methods.md, section 5).
"""

import json
import re
import tomllib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from rag.fence import fence_fingerprint, fence_for, without_unseen
from rag.shortening import ReadReport, shorten_report, shortening_fingerprint
from rag.token_budget import FEWEST, MOST, REPORTS, TokenBudget
from titrate import InputError, hash_json, one_line, read_bytes

MAX_INSTRUCTIONS = 16_384
"""Bytes of a file of instructions; far more means that another file was meant."""

_PLACEHOLDER = re.compile(
    r"\{\{|\{%|<\||%s|\$?\{[^\W\d]\w*\}"
    r"|[<\[](?:images?|reports?|contexts?|references?|questions?|options?|choices|query|input|prompt)[>\]]",
    re.IGNORECASE,
)


_INSTRUCTIONS = "Answer the question about this medical image. Reports of similar cases may help or mislead."


@dataclass(frozen=True)
class ReportsRead:
    """How many of some reports were read with something left out, and of how many tokens each may have."""

    reports: int
    cut: int
    tokens: int


@dataclass(frozen=True)
class PromptTemplate:
    """How instructions, reports, question and options become the user's message, which follows the image.

    Parameters
    ----------
    instructions
        First words of every message.
    max_report_tokens
        A longer report is cut to so many tokens, background first and its impression last, see `rag.shortening`. None
        for as many as eight reports may take beside the image, question and answer, see `rag.token_budget`.
    budget
        Counts tokens: the model that reads the message, see `for_model`.

    Raises
    ------
    InputError
        If ``max_report_tokens`` is below 16.
    """

    instructions: str = _INSTRUCTIONS
    max_report_tokens: int | None = None
    budget: TokenBudget = field(default_factory=TokenBudget, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.max_report_tokens is not None and self.max_report_tokens < FEWEST:
            raise InputError(f"max_report_tokens is {self.max_report_tokens}; give at least {FEWEST}")

    def for_model(self, budget: TokenBudget) -> "PromptTemplate":
        """The template that counts tokens as the model does which is to read its messages.

        Raises
        ------
        InputError
            If the instructions hold what that model takes for a special token.
        """
        if budget.without_special_tokens(self.instructions) != self.instructions:
            raise InputError(
                "the instructions hold a special token of this model, such as the placeholder of an image, which it "
                "would not read as text; take it out of the prompt"
            )
        return replace(self, budget=budget)

    @cached_property
    def report_tokens(self) -> int:
        """How many tokens a report may take: fewer where the instructions are longer than the built-in ones."""
        if self.max_report_tokens is not None:
            return self.max_report_tokens
        longer = self.budget.count_tokens(self.instructions) - self.budget.count_tokens(_INSTRUCTIONS)
        return max(FEWEST, self.budget.tokens_per_report - max(0, -(-longer // REPORTS)))

    def read(self, report: str) -> ReadReport:
        """A report as the model reads it, fenced and cut; whatever was read once is read the same again."""
        fenced = self._fenced(report)
        read = shorten_report(fenced, self.report_tokens, self.budget.count_tokens)
        if self._fenced(read.text) != read.text:  # on one line marks may stand together that were apart
            read = shorten_report(self._fenced(one_line(fenced)), self.report_tokens, self.budget.count_tokens)
        return replace(read, text=self._fenced(read.text))

    def _fenced(self, text: str) -> str:
        """Anybody's text without what a model could take for structure, see `rag.fence`, or for a special token."""
        text = self.budget.without_special_tokens(without_unseen(text))
        return self.budget.without_special_tokens(fence_for(self.instructions)(text))

    def reports_read(self, reports: Iterable[str]) -> ReportsRead:
        """How many of these reports are read with something left out."""
        cut = [self.read(report).cut for report in reports]
        return ReportsRead(len(cut), sum(cut), self.report_tokens)

    def opening(self) -> str:
        """What comes before the first report."""
        return f"{self.instructions}\n"

    def context(self, number: int, report: str) -> str:
        """Report ``number`` (from 1) on a line of its own; the number is what answers cite."""
        return f"Report [{number}]: {self.read(report).text}\n"

    def closing(self, question: str, options: Sequence[str] | None) -> str:
        """The question, and the answers to choose from where there are any, in quotes if one of them holds a comma."""
        asked = f"Question: {one_line(self._fenced(one_line(question)))}"
        if not options:
            return asked
        options = self.options_read(options)
        if any("," in option or len(option.splitlines()) > 1 for option in options):  # quotes keep such options apart
            options = [json.dumps(option, ensure_ascii=False) for option in options]
        return f"{asked}\nOptions: {', '.join(options)}"

    def options_read(self, options: Sequence[str]) -> tuple[str, ...]:
        """The answers to choose from as the model reads them: fenced.

        Raises
        ------
        InputError
            If two of them are read alike.
        """
        read = tuple(self._fenced(option) for option in options)
        if len(set(read)) < len(set(options)):
            raise InputError(f"two of the options {', '.join(map(repr, options))} are read alike; word one otherwise")
        return read

    def render(self, question: str, options: Sequence[str] | None, reports: Sequence[str]) -> str:
        """The user's whole message; ``reports`` best first."""
        contexts = (self.context(number, report) for number, report in enumerate(reports, start=1))
        return self.opening() + "".join(contexts) + self.closing(question, options)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the settings and of rendered examples: any change of wording, order or cutting changes it.

        The model's own count of tokens is not in it, but in the model's fingerprint: so a certificate made under
        another prompt is known for one before a model is loaded.
        """
        example = replace(self, budget=TokenBudget()).render("question?", ["yes", "no"], ["word " * 1000, "second"])
        example += self.closing("question?", ["left, right", "neither"])
        settings = {"instructions": self.instructions, "max_report_tokens": self.max_report_tokens}
        limits = [REPORTS, MOST, FEWEST]
        rules = {"cut": shortening_fingerprint(), "fence": fence_fingerprint()}
        return hash_json({"settings": settings, "limits": limits, "example": example, **rules})


def read_instructions(path: Path) -> str:
    """Instructions out of a text file, which begin every message; reports, question and options follow by themselves.

    Raises
    ------
    InputError
        If the file cannot be read, is empty, too long or no plain text in UTF-8, is JSON or TOML, or holds a
        placeholder: nothing is filled in.
    """
    try:
        data = read_bytes(path)
    except OSError as error:
        raise InputError(f"cannot read prompt {path}: {error.strerror}; check the path") from error
    if len(data) > MAX_INSTRUCTIONS:
        raise InputError(f"prompt {path} has {len(data):,} bytes; instructions have at most {MAX_INSTRUCTIONS:,}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"prompt {path} is not UTF-8 text; convert it first") from error
    text = "\n".join(line.rstrip() for line in text.splitlines()).strip()
    if not text:
        raise InputError(f"prompt {path} is empty; write the instructions that are to begin every message")
    if any(unicodedata.category(sign) == "Cc" and sign not in "\n\t" for sign in text):
        raise InputError(f"prompt {path} holds control characters; give a plain text file")
    if placeholder := _PLACEHOLDER.search(text):
        raise InputError(
            f"prompt {path} holds {placeholder.group()}, and nothing is filled in; write the instructions only: "
            "reports, question and options follow them by themselves"
        )
    if _is_data(text):
        raise InputError(f"prompt {path} is JSON or TOML; write the instructions themselves, as plain text")
    return text


def _is_data(text: str) -> bool:
    """Whether a text is a JSON value or has TOML's settings; either would be read to the model word for word."""
    for read in (json.loads, tomllib.loads):
        try:
            if read(text) != {}:
                return True
        except RecursionError:
            return True
        except ValueError:
            continue
    return False
