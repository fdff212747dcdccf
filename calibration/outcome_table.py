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
from calibration.choices import Choices
from titrate import InputError, JsonFields, hash_json, read_jsonl, write_atomic

_COLUMNS = ("question", "unit", "domain", "losses", "confidences", "answers")
_SIMILARITIES, _CHOICES = "similarities", "choices"
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
    similarities
        log S = s cos of each context, best first, ``[questions, K]``, NaN where fewer were retrieved; None where ratio
        cuts are not wanted. Kept as a read-only copy.
    choices
        Of each question what the model thinks of its options, None where it has none; None where neither blends nor
        gates are wanted.

    Raises
    ------
    InputError
        If the table is empty, a number is outside [0, 1] or NaN, the shapes differ, a question comes twice,
        similarities do not come best first, or an answer or its loss is not that of the likeliest option.
    """

    question_ids: Sequence[str]
    units: Sequence[str]
    domains: Sequence[str]
    losses: FloatArray
    confidences: FloatArray
    answers: Sequence[Sequence[str]]
    similarities: FloatArray | None = None
    choices: Sequence[Choices | None] | None = None

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
        if self.similarities is not None:
            similarities = _check_similarities(self.similarities, rows, columns - 1)
            similarities.setflags(write=False)
            object.__setattr__(self, "similarities", similarities)
        if self.choices is not None:
            check_same_length(rows, choices=self.choices)
            for row, choices in enumerate(self.choices):
                self._check_choices(row, choices)

    def _check_choices(self, row: int, choices: Choices | None) -> None:
        if choices is None:
            return
        best = choices.log_probabilities.argmax(axis=1)
        told = [choices.options[number] for number in best]
        if list(self.answers[row]) != told or not np.array_equal(self.losses[row], choices.losses[best]):
            raise InputError(
                f"an answer to {self.question_ids[row]}, or its loss, is not that of the likeliest option; {_REMEDY}"
            )

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
        return self.take(rows)

    def take(self, rows: Sequence[int]) -> "OutcomeTable":
        """Return these rows, in this order.

        Raises
        ------
        InputError
            If there are none, or one comes twice.
        """
        chosen = np.asarray(rows, dtype=np.int64)
        return OutcomeTable(
            question_ids=[self.question_ids[row] for row in rows],
            units=[self.units[row] for row in rows],
            domains=[self.domains[row] for row in rows],
            losses=self.losses[chosen],
            confidences=self.confidences[chosen],
            answers=[self.answers[row] for row in rows],
            similarities=None if self.similarities is None else self.similarities[chosen],
            choices=None if self.choices is None else [self.choices[row] for row in rows],
        )

    @classmethod
    def join(cls, tables: "Sequence[OutcomeTable]") -> "OutcomeTable":
        """Return the rows of several tables as one.

        Raises
        ------
        InputError
            If there are none, they end at different k, only some have similarities, or a question comes twice.
        """
        if not tables or len({table.max_k for table in tables}) > 1:
            raise InputError("outcome tables can be joined where there are any, and all end at the same k")
        similarities = [table.similarities for table in tables if table.similarities is not None]
        if len(similarities) not in (0, len(tables)):
            raise InputError("outcome tables can be joined where all have similarities, or none has")
        choices = [table.choices for table in tables if table.choices is not None]
        if len(choices) not in (0, len(tables)):
            raise InputError("outcome tables can be joined where all know the options, or none does")
        return cls(
            question_ids=[name for table in tables for name in table.question_ids],
            units=[name for table in tables for name in table.units],
            domains=[name for table in tables for name in table.domains],
            losses=np.concatenate([table.losses for table in tables]),
            confidences=np.concatenate([table.confidences for table in tables]),
            answers=[answers for table in tables for answers in table.answers],
            similarities=np.concatenate(similarities) if similarities else None,
            choices=[one for several in choices for one in several] if choices else None,
        )

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the content, whatever the order of the questions."""
        rows = sorted(self._rows(), key=lambda row: str(row["question"]))
        return hash_json(json.dumps(rows))  # escaped, as a name may hold half of a surrogate pair

    def _rows(self) -> list[dict[str, object]]:
        columns: dict[str, Sequence[object]] = dict(
            zip(
                _COLUMNS,
                (
                    self.question_ids,
                    self.units,
                    self.domains,
                    self.losses.tolist(),
                    self.confidences.tolist(),
                    [list(row) for row in self.answers],
                ),
                strict=True,
            )
        )
        if self.similarities is not None:
            columns[_SIMILARITIES] = [row[np.isfinite(row)].tolist() for row in self.similarities]
        if self.choices is not None:
            columns[_CHOICES] = [None if choices is None else choices.to_json() for choices in self.choices]
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def save(self, path: Path) -> None:
        """Write JSON lines, one question a line, whole or not at all.

        Raises
        ------
        InputError
            If the file cannot be written.
        """
        lines = (json.dumps(row, ensure_ascii=False) for row in self._rows())
        write_atomic(path, "".join(f"{line}\n" for line in lines), private=True)

    @classmethod
    def load(cls, path: Path) -> "OutcomeTable":
        """Read what `save` wrote.

        Raises
        ------
        InputError
            If the file cannot be read or is not such a table, naming the line.
        """
        lines = list(read_jsonl(path))
        if not lines:
            raise InputError(f"{path} holds no questions; {_REMEDY}")
        cut, told = (name in lines[0][1] for name in (_SIMILARITIES, _CHOICES))
        names = (*_COLUMNS, *((_SIMILARITIES,) if cut else ()), *((_CHOICES,) if told else ()))
        rows = [JsonFields(value, f"{path}, line {number}", names, _REMEDY) for number, value in lines]
        losses, confidences = ([row.fractions(name) for row in rows] for name in ("losses", "confidences"))
        answers = [row.texts("answers") for row in rows]
        for row, *lists in zip(rows, losses, confidences, answers, strict=True):
            if any(len(items) != len(losses[0]) for items in lists):
                raise row.error(f"expected {len(losses[0])} losses, confidences and answers")
        similarities = np.full((len(rows), len(losses[0]) - 1), np.nan) if cut else None
        if similarities is not None:
            for number, row in enumerate(rows):
                found = row.numbers(_SIMILARITIES, least=-1e300)
                if len(found) >= len(losses[0]):
                    raise row.error(f"more than {len(losses[0]) - 1} similarities")
                similarities[number, : len(found)] = found
        return cls(
            question_ids=[row.text("question") for row in rows],
            units=[row.text("unit") for row in rows],
            domains=[row.text("domain") for row in rows],
            losses=np.array(losses, dtype=np.float64),
            confidences=np.array(confidences, dtype=np.float64),
            answers=answers,
            similarities=similarities,
            choices=[Choices.from_json(row.value[_CHOICES], _REMEDY) for row in rows] if told else None,
        )


def _check_similarities(values: FloatArray, rows: int, columns: int) -> FloatArray:
    similarities = np.array(values, dtype=np.float64)
    if similarities.shape != (rows, columns):
        raise InputError(f"similarities are {similarities.shape}; give {columns} for each of {rows} questions")
    missing = np.isnan(similarities)
    # Missing ones may only come last, and those before must fall: comparisons with NaN are false, as they should be.
    resumed = missing[:, :-1] & ~missing[:, 1:]
    rising = similarities[:, 1:] > similarities[:, :-1]
    if bool(np.isinf(similarities).any() or resumed.any() or rising.any()):
        raise InputError("similarities must be finite and come best first, with NaN only after the last; sort them")
    return similarities
