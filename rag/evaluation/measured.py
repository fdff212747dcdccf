"""All figures of all policies of a run: as JSON, and as a page of Markdown."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibration import Policy, read_policy
from rag.evaluation.judged import RIGHT_BELOW, Judged, right_answers, right_despite_noise
from rag.evaluation.measures import FIGURES, ROUNDS, Measures, measure_groups
from rag.evaluation.metrics import Estimate
from rag.evaluation.policies import PolicyAnswers
from rag.evaluation.timing import TIMED, PolicySeconds
from rag.outcomes.score import Outcomes
from rag.report.words import policy_name
from titrate import one_line, write_atomic

VERSION = 1


@dataclass(frozen=True)
class PolicyMeasures:
    """One policy in one domain, of one source, or, where both are None, over all questions.

    Attributes
    ----------
    policy, domain, source
        Of what.
    measures
        The figures.
    """

    policy: str
    domain: str | None
    source: str | None
    measures: Measures


@dataclass(frozen=True)
class MeasuredRun:
    """Figures of a run.

    Attributes
    ----------
    fingerprints
        Of the system that answered.
    seed
        Of the bootstrap.
    rows
        Every policy in each domain, of each source, and over all; closed questions first, then open ones by k.
    notes
        Why a policy is missing, each once.
    seconds
        Per answer, of the policies that were timed.
    """

    fingerprints: dict[str, str]
    seed: int
    rows: list[PolicyMeasures]
    notes: list[str]
    seconds: list[PolicySeconds] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write JSON, whole or not at all; docs/evaluation.md says what is in it.

        Raises
        ------
        InputError
            If the file cannot be written.
        """
        content = {"measures": VERSION, "rounds": ROUNDS, "figures": FIGURES, "timed": TIMED, **asdict(self)}
        write_atomic(path, json.dumps(content, ensure_ascii=False, indent=1) + "\n", private=True)

    def save_markdown(self, path: Path) -> None:
        """Write a page of Markdown: a table for each domain, each source, and all together.

        Raises
        ------
        InputError
            If the file cannot be written.
        """
        write_atomic(path, self.markdown(), private=True)

    def markdown(self) -> str:
        """The page."""
        lines = ["# Evaluation", "", "Each figure with its 95 % interval from a bootstrap over patients."]
        groups: dict[tuple[str | None, str | None, bool], list[PolicyMeasures]] = {}
        for row in self.rows:
            groups.setdefault((row.domain, row.source, row.measures.positive == "open"), []).append(row)
        for (domain, source, opened), rows in groups.items():
            first = rows[0].measures
            where = f"Domain {domain}" if domain else f"Source {source}" if source else "All questions"
            asked = f"{first.questions} {'open' if opened else 'closed'} questions of {first.patients} patients"
            lines += ["", f"## {_cell(where)}", "", f"{asked}; precision, recall and F1: {first.positive}."]
            for title, weighted in _WEIGHTED.items():
                figures = {row.policy: getattr(row.measures, weighted) for row in rows}
                names = [name for name in FIGURES if any(each[name] for each in figures.values())]
                lines += ["", f"### {title}", "", _row(["policy", *(name.replace("_", " ") for name in names)])]
                lines += [_row(["---"] * (1 + len(names)))]
                lines += [_row([policy, *(_shown(each[name]) for name in names)]) for policy, each in figures.items()]
        lines += self._seconds_page() if self.seconds else []
        lines += ["", "## What the figures are", ""]
        lines += [f"- {name.replace('_', ' ')}: {what}" for name, what in FIGURES.items()]
        lines += [f"- note: {_cell(note)}" for note in self.notes]
        return "\n".join(lines) + "\n"

    def _seconds_page(self) -> list[str]:
        timed = self.seconds[0].answers
        lines = ["", "## Seconds per answer", "", f"Medians of {timed} questions, asked one by one. {TIMED}", ""]
        lines += [_row(["policy", "answers", "retrieval", "answering", "total", "slowest"]), _row(["---"] * 6)]
        for each in self.seconds:
            times = (each.retrieval, each.answering, each.total, each.slowest)
            lines.append(_row([each.policy, str(each.answers), *(f"{value:.3f}" for value in times)]))
        return lines


_WEIGHTED = {"Every question counts once": "by_question", "Every patient counts once": "by_patient"}


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    """Text of a file or a user as text of a table: no bar ends its cell, and no mark-up is made of it."""
    return re.sub(r"([\\`*_{}\[\]<>#|!~])", r"\\\1", one_line(text))


def _shown(figure: Estimate | None) -> str:
    return "–" if figure is None else f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"


def measure_run(
    outcomes: Outcomes,
    given: Sequence[PolicyAnswers],
    fingerprints: Mapping[str, str],
    *,
    noised: Outcomes | None = None,
    tokens: NDArray[np.int64] | None = None,
    seed: int = 0,
) -> MeasuredRun:
    """Measure policies by what they answered, and open questions at every k.

    Parameters
    ----------
    outcomes
        Of the questions asked.
    given
        What the policies answered to the closed ones, `rag.evaluation.policies.policy_answers`.
    fingerprints
        Of the system.
    noised
        Outcomes of the same questions with the same contexts, about images that are noise.
    tokens
        Of the text of each question's prompt at k = 0..K, ``[n, K + 1]``.
    seed
        Of the bootstrap.

    Raises
    ------
    InputError
        If the outcomes with noise are of other questions or contexts.
    """
    right = right_answers(outcomes.table)
    despite = None if noised is None else right_despite_noise(outcomes, noised)
    by_name: dict[str, list[PolicyAnswers]] = {}
    for one in given:
        if one.answers is not None:
            by_name.setdefault(one.policy, []).append(one)
    rows: list[PolicyMeasures] = []
    for name, own in by_name.items():
        places = [row for one in own for row in one.rows]
        told = [answer for one in own for answer in one.answers or ()]
        contexts = np.array([count for one in own for count in one.contexts or (0,) * len(one.rows)], dtype=np.int64)
        chances = [each for one in own for each in one.probabilities or (None,) * len(one.rows)]
        asked_a_model = own[0].contexts is not None
        copied = [flag for one in own for flag in _copied(one, noised)] if asked_a_model and noised else None
        judged = Judged(
            [outcomes.questions[row] for row in places],
            told,
            right[places, 0] if asked_a_model else None,
            contexts,
            chances,
            tokens[places, contexts] if tokens is not None and asked_a_model else None,
            None if copied is None else np.array(copied, dtype=np.bool_),
            despite[places, 0] if despite is not None and asked_a_model else None,
        )
        rows += _measured(name, judged, [outcomes.table.domains[row] for row in places], seed)
    opened = [row for row, question in enumerate(outcomes.questions) if question.options is None]
    for k in range(outcomes.table.max_k + 1) if opened else ():
        reading = read_policy(Policy(k), outcomes.table.take(opened))
        judged = Judged(
            [outcomes.questions[row] for row in opened],
            reading.answers,
            right[opened, 0],
            reading.contexts,
            reading.log_probabilities,
            None if tokens is None else tokens[opened, reading.contexts],
            None if despite is None else despite[opened, k],
            None if despite is None else despite[opened, 0],
            reading.losses,
        )
        rows += _measured(policy_name(Policy(k)), judged, [outcomes.table.domains[row] for row in opened], seed)
    rows.sort(key=lambda row: (row.measures.positive == "open", row.domain is None, row.source is None))
    return MeasuredRun(dict(fingerprints), seed, rows, list(dict.fromkeys(one.note for one in given if one.note)))


def _copied(one: PolicyAnswers, noised: Outcomes) -> list[bool]:
    """Whether a policy's answers are right about noised images."""
    if one.by is None:
        return [False] * len(one.rows)
    reading = read_policy(one.by, noised.table.take(one.rows))
    return [bool(sure and lost < RIGHT_BELOW) for sure, lost in zip(reading.answered, reading.losses, strict=True)]


def _measured(name: str, judged: Judged, domains: Sequence[str], seed: int) -> list[PolicyMeasures]:
    groups = measure_groups(judged, domains, seed=seed)
    return [PolicyMeasures(name, domain, source, measures) for domain, source, measures in groups]
