"""What was asked: which questions a certificate covers, and how the chosen policy does with those of each source.

Questions are covered whose options and wording were calibrated.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from calibration.checks import check_same_length
from calibration.outcome_table import OutcomeTable
from calibration.results import DomainResult, read_interval
from calibration.units import UnitMeans, risk_intervals
from titrate import END_MARKS, JsonFields, folded

SMALLEST_SOURCE = 5
"""Units of a source that is told by its name: of fewer a risk says little, and the name could be a patient's."""

_FIELDS = ("options", "units", "wordings")
_SOURCE = ("source", "n_units", "n_questions", "risk", "interval", "coverage")


@dataclass(frozen=True)
class QuestionKind:
    """The calibration questions of one domain that have the same options.

    Attributes
    ----------
    options
        The options' keys (without case, needless spaces and full stop), sorted; None for open questions.
    units
        How many independent units had such a question.
    wordings
        Hash of the wording of each of these questions, sorted: a certificate need not tell what was asked. Of whole
        wordings, since those of single words would give away names to whoever guesses them.
    """

    options: tuple[str, ...] | None
    units: int
    wordings: tuple[str, ...]

    @classmethod
    def collect(cls, asked: Iterable[tuple[str, str, Sequence[str] | None]]) -> "tuple[QuestionKind, ...]":
        """The kinds of questions, each given as its unit, its text, and its options' keys or None; open ones first."""
        units: dict[tuple[str, ...] | None, set[str]] = {}
        wordings: dict[tuple[str, ...] | None, set[str]] = {}
        for unit, text, options in asked:
            key = _options(options)
            units.setdefault(key, set()).add(unit)
            wordings.setdefault(key, set()).add(_wording(text))
        ordered = sorted(units, key=lambda key: (key is not None, key or ()))
        return tuple(cls(key, len(units[key]), tuple(sorted(wordings[key]))) for key in ordered)

    def to_json(self) -> dict[str, Any]:
        """As it stands in a certificate."""
        return {"options": self.options, "units": self.units, "wordings": self.wordings}

    @classmethod
    def from_json(cls, value: Any, where: str, remedy: str) -> "QuestionKind":
        """Read what `to_json` returned.

        Raises
        ------
        InputError
            If it is anything else.
        """
        read = JsonFields(value, where, _FIELDS, remedy)
        options = None if read.value["options"] is None else read.texts("options")
        return cls(options, read.integer("units", least=1), read.texts("wordings"))


@dataclass(frozen=True)
class SourceRisk:
    """What a domain's chosen policy, or the best where none is certified, did with the questions of one source.

    No test is about it, and nothing is promised of it.

    Attributes
    ----------
    source
        Where the questions come from, without case; None for all of those that do not say, or whose source has fewer
        than `SMALLEST_SOURCE` units.
    n_units, n_questions
        How many there are; a unit whose questions have several sources counts in each.
    risk, interval, coverage
        As in `MeasuredPolicy`.
    """

    source: str | None
    n_units: int
    n_questions: int
    risk: float
    interval: tuple[float, float]
    coverage: float

    @classmethod
    def measure(
        cls, table: OutcomeTable, sources: Sequence[str | None], result: DomainResult, alpha: float
    ) -> "tuple[SourceRisk, ...]":
        """Measure each source of a domain's tested questions: by name, None last; empty where none says its source.

        Parameters
        ----------
        table
            Outcomes of the questions tested in the domain.
        sources
            Of each row.
        result, alpha
            What was found there, and the risk to promise.
        """
        check_same_length(len(table.question_ids), sources=sources)
        rows: dict[str | None, list[int]] = {}
        for row, source in enumerate(sources):
            rows.setdefault(None if source is None else source_key(source), []).append(row)
        if not rows.keys() - {None}:
            return ()
        told = {name for name, own in rows.items() if len({table.units[row] for row in own}) >= SMALLEST_SOURCE}
        others = sorted(row for name, own in rows.items() if name not in told or name is None for row in own)
        groups: list[tuple[str | None, list[int]]] = [(name, rows[name]) for name in sorted(filter(None, told))]
        column = result.grid.policies.index((result.chosen or result.best(alpha)).policy)
        found = []
        for name, own in (*groups, *([(None, others)] if others else [])):
            means = UnitMeans.read(table.take(own), result.grid, alpha)
            errors, answered = means.errors[:, [column]], means.answered[:, [column]]
            low, high = risk_intervals(errors, answered)
            risk = errors.sum() / answered.sum() if answered.any() else 1.0
            found.append(
                cls(
                    source=name,
                    n_units=len(means.names),
                    n_questions=means.n_questions,
                    risk=min(float(risk), 1.0),
                    interval=(float(low[0]), float(high[0])),
                    coverage=float(answered.mean()),
                )
            )
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        """As it stands in a certificate."""
        return {**{name: getattr(self, name) for name in _SOURCE}, "interval": list(self.interval)}

    @classmethod
    def from_json(cls, value: Any, where: str, remedy: str) -> "SourceRisk":
        """Read what `to_json` returned.

        Raises
        ------
        InputError
            If it is anything else.
        """
        read = JsonFields(value, where, _SOURCE, remedy)
        return cls(
            source=None if read.value["source"] is None else read.text("source"),
            n_units=read.integer("n_units", least=1),
            n_questions=read.integer("n_questions", least=1),
            risk=read.fraction("risk"),
            interval=read_interval(read),
            coverage=read.fraction("coverage"),
        )


def why_not_covered(kinds: Sequence[QuestionKind], text: str, options: Sequence[str] | None) -> str | None:
    """Why a question is of no kind that was calibrated; None if it is of one.

    It is of a kind if that has the same options, in whatever order, and the same was asked: letters without case,
    spaces and the marks at the end do not count, anything else does.

    Parameters
    ----------
    kinds
        Those of the question's domain.
    text, options
        The question, and its options' keys; None for an open one.
    """
    wanted = _options(options)
    same = [kind for kind in kinds if kind.options == wanted]
    if not same:
        if wanted is None:
            return "the certificate covers questions with options, not free text" if kinds else _UNKNOWN
        return "no question with these options was calibrated" if kinds else _UNKNOWN
    if any(_wording(text) in kind.wordings for kind in same):
        return None
    return "the question is of another kind than those calibrated: none of them is worded so"


_UNKNOWN = "the certificate does not say which questions were calibrated"


def _options(options: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if options is None else tuple(sorted(options))


def _wording(text: str) -> str:
    """Hash of a question's wording, however it is spelt, spaced and ends."""
    return hashlib.sha256(folded(text).rstrip(END_MARKS + " ").encode()).hexdigest()


def source_key(source: str) -> str:
    """What makes a source this one: its words in one spelling."""
    return folded(source)


def sources_problem(sources: Sequence[SourceRisk], result: DomainResult) -> str | None:
    """How a certificate's rows of a domain's sources contradict its result; None if they do not."""
    if not sources:
        return None
    names = [row.source for row in sources if row.source is not None]
    if names != sorted(set(names)) or any(row.source is None for row in sources[:-1]):
        return "sources are not sorted, each once, with null at the end"
    if sum(row.n_questions for row in sources) != result.n_questions:
        return "the questions of the sources do not add up to those tested"
    if any(row.n_units > min(row.n_questions, result.n_units) for row in sources):
        return "a source has more units than there can be"
    return None
