"""A report as its reader gets it, and small outcome tables to report on."""

from html.parser import HTMLParser
from typing import Any

import numpy as np

from calibration import OutcomeTable
from calibration.checks import FloatArray

VOID = {"br", "meta"}


class Page(HTMLParser):
    """Checks that tags nest, and keeps what a reader sees."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.words: list[str] = []
        self.cells: list[list[str]] = []
        self.attributes: list[tuple[str, str]] = []
        self.tags: list[str] = []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th"):
            self.cells[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)
            if self.open[-1] in ("td", "th"):
                self.cells[-1][-1] += data

    @property
    def said(self) -> str:
        return " ".join(" ".join(self.words).split())


def outcomes(losses: FloatArray, **changes: Any) -> OutcomeTable:
    """A table of one domain, a patient a question, unless told otherwise."""
    rows, columns = losses.shape
    fields: dict[str, Any] = {
        "question_ids": [f"question-{row}" for row in range(rows)],
        "units": [f"patient-{row}" for row in range(rows)],
        "domains": ["radiology"] * rows,
        "losses": losses,
        "confidences": np.full(losses.shape, 0.5),
        "answers": [["secret answer"] * columns] * rows,
    }
    return OutcomeTable(**(fields | changes))
