"""The words around a question: one template, whose fingerprint is part of every certificate.

The order is instructions, contexts from most to least similar, question: the prompts of k and k + 1 contexts share all
that stands before context k + 1, so that a key-value cache can be reused (see docs/methods.md, section 5).
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from titrate import InputError, hash_json


@dataclass(frozen=True)
class PromptTemplate:
    """How instructions, reports, question and options become the user's message, which follows the image.

    Parameters
    ----------
    instructions
        First words of every message.
    max_report_words
        A longer report is cut after so many words, so that eight of them fit any model's context.
    """

    instructions: str = "Answer the question about this medical image. Reports of similar cases may help or mislead."
    max_report_words: int = 64

    def __post_init__(self) -> None:
        if self.max_report_words < 1:
            raise InputError(f"max_report_words is {self.max_report_words}; give at least 1")

    def opening(self) -> str:
        """What comes before the first report."""
        return f"{self.instructions}\n"

    def context(self, number: int, report: str) -> str:
        """Report ``number`` (from 1) on a line of its own; the number is what answers cite."""
        words = report.split()
        kept = " ".join(words[: self.max_report_words])
        return f"Report [{number}]: {kept}{' …' if len(words) > self.max_report_words else ''}\n"

    def closing(self, question: str, options: Sequence[str] | None) -> str:
        """The question, and the answers to choose from where there are any, in quotes if one of them holds a comma."""
        asked = f"Question: {' '.join(question.split())}"
        if not options:
            return asked
        if any("," in option or len(option.splitlines()) > 1 for option in options):  # quotes keep such options apart
            options = [json.dumps(option, ensure_ascii=False) for option in options]
        return f"{asked}\nOptions: {', '.join(options)}"

    def render(self, question: str, options: Sequence[str] | None, reports: Sequence[str]) -> str:
        """The user's whole message; ``reports`` best first."""
        contexts = (self.context(number, report) for number, report in enumerate(reports, start=1))
        return self.opening() + "".join(contexts) + self.closing(question, options)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the settings and of a rendered example: any change of wording, order or cutting changes it."""
        example = self.render("question?", ["yes", "no"], ["word " * (self.max_report_words + 1), "second"])
        example += self.closing("question?", ["left, right", "neither"])
        return hash_json({"settings": asdict(self), "example": example})
