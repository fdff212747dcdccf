"""The outcome table: what the model answered, and how badly, at every k = 0..K.

An answer depends only on how many contexts the model read, so this one table gives the loss of every policy.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calibration.checks import FloatArray, check_same_length, check_unit_interval
from calibration.fields import Fields
from titrate.errors import InputError
from titrate.files import read_jsonl, write_atomic

_COLUMNS = ("question", "unit", "domain", "losses", "confidences", "answers")
_REMEDY = "score the questions again"


@dataclass(frozen=True, eq=False)
class OutcomeTable:
    """One row per question, one column per number of contexts k = 0..K.

    Parameters
    ----------
    question_ids
        All different.
    units
        The patient of each question (the study, where no patient is known).
    domains
        The domain that each question was routed to.
    losses
        In [0, 1], ``[questions, K + 1]``: 0 is right, 1 is wrong. Kept as a read-only copy.
    confidences
        The model's confidence in its answer, in [0, 1], ``[questions, K + 1]``. Kept as a read-only copy.
    answers
        The answers, ``[questions][K + 1]``.

    Raises
    ------
    InputError
        If the table is empty, a number is outside [0, 1] or NaN, the shapes differ, or a question comes twice.
    """

    question_ids: Sequence[str]
    units: Sequence[str]
    domains: Sequence[str]
    losses: FloatArray
    confidences: FloatArray
    answers: Sequence[Sequence[str]]

    def __post_init__(self) -> None:
        for name in ("losses", "confidences"):
            numbers = check_unit_interval(name, getattr(self, name)).copy()
            numbers.setflags(write=False)
            object.__setattr__(self, name, numbers)
        rows, columns = self.losses.shape
        if self.confidences.shape != self.losses.shape:
            raise InputError(f"losses are {self.losses.shape}, confidences {self.confidences.shape}; give one for each")
        check_same_length(
            rows, question_ids=self.question_ids, units=self.units, domains=self.domains, answers=self.answers
        )
        if any(len(row) != columns for row in self.answers):
            raise InputError(f"each question needs {columns} answers, one for each k")
        twice = [name for name, times in Counter(self.question_ids).items() if times > 1]
        if twice:
            raise InputError(f"question {twice[0]} comes twice; give every question an id of its own")

    @property
    def max_k(self) -> int:
        """K, the largest number of contexts scored."""
        return int(self.losses.shape[1]) - 1

    def select(self, domain: str) -> "OutcomeTable":
        """Return the rows routed to one domain, in the same order.

        Raises
        ------
        InputError
            If there are none.
        """
        rows = [row for row, name in enumerate(self.domains) if name == domain]
        if not rows:
            raise InputError(f"no question was routed to {domain}; it can be {', '.join(sorted(set(self.domains)))}")
        return OutcomeTable(
            question_ids=[self.question_ids[row] for row in rows],
            units=[self.units[row] for row in rows],
            domains=[self.domains[row] for row in rows],
            losses=self.losses[rows],
            confidences=self.confidences[rows],
            answers=[self.answers[row] for row in rows],
        )

    def save(self, path: Path) -> None:
        """Write JSON lines, one question a line, whole or not at all.

        Raises
        ------
        InputError
            If the file cannot be written.
        """
        rows = zip(
            self.question_ids,
            self.units,
            self.domains,
            self.losses.tolist(),
            self.confidences.tolist(),
            map(list, self.answers),
            strict=True,
        )
        lines = (json.dumps(dict(zip(_COLUMNS, row, strict=True)), ensure_ascii=False) for row in rows)
        write_atomic(path, "".join(f"{line}\n" for line in lines))

    @classmethod
    def load(cls, path: Path) -> "OutcomeTable":
        """Read what `save` wrote.

        Raises
        ------
        InputError
            If the file cannot be read or is not such a table, naming the line.
        """
        rows = [Fields(value, f"{path}, line {number}", _COLUMNS, _REMEDY) for number, value in read_jsonl(path)]
        if not rows:
            raise InputError(f"{path} holds no questions; {_REMEDY}")
        losses, confidences = ([row.fractions(name) for row in rows] for name in ("losses", "confidences"))
        answers = [row.texts("answers") for row in rows]
        for row, *lists in zip(rows, losses, confidences, answers, strict=True):
            if any(len(items) != len(losses[0]) for items in lists):
                raise row.error(f"expected {len(losses[0])} losses, confidences and answers")
        return cls(
            question_ids=[row.text("question") for row in rows],
            units=[row.text("unit") for row in rows],
            domains=[row.text("domain") for row in rows],
            losses=np.array(losses, dtype=np.float64),
            confidences=np.array(confidences, dtype=np.float64),
            answers=answers,
        )
