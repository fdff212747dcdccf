"""A run over a question file becomes an evaluation: every policy measured, and what it answered."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from calibration import Certificate
from rag.evaluation.measured import MeasuredRun, measure_run
from rag.evaluation.policies import PolicyScore, measure_answers, policy_answers
from rag.evaluation.predictions import Predictions, refuse_other_run, run_name
from rag.evaluation.timing import time_answers
from rag.outcomes.run import QuestionRun
from rag.outcomes.score import Outcomes
from rag.questions import Question
from rag.retrieval.routing import Retrieved
from titrate import InputError, TitrateWarning

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class Evaluation:
    """What came of a question file: how good every policy is, what it answered, and all figures where asked for."""

    scores: list[PolicyScore]
    predictions: Predictions
    measured: MeasuredRun | None = None


@dataclass(frozen=True)
class Noising:
    """How images become noise, for the copy rate and the blind accuracy.

    Attributes
    ----------
    alter, name
        As ``alter`` and ``alteration`` of `QuestionRun.score`.
    """

    alter: "Callable[[Image.Image], Image.Image]"
    name: dict[str, Any]


def evaluate_run(
    run: QuestionRun,
    split: str,
    certificate: Certificate | None = None,
    *,
    predictions: Path | None = None,
    measured: bool = False,
    noising: Noising | None = None,
    timed: int = 0,
    seed: int = 0,
) -> Evaluation:
    """Answer the questions of a split at every k, and measure every policy; see `evaluate`.

    Parameters
    ----------
    run, split
        The questions.
    certificate
        Adds the certified policy.
    predictions
        Where predictions are to be written: refused before anything is scored if it holds those of another run. A run
        that was cut short goes on from the outcomes kept, and gives the same ones.
    measured
        Measure all of `FIGURES`, which takes a bootstrap for each policy, domain and source.
    noising
        Ask all again about images that are noise, for the figures that need it; only where ``measured``.
    timed
        How many questions to ask again one by one, for seconds per answer; only where ``measured``.
    seed
        Of the bootstraps, and of the questions timed.

    Raises
    ------
    InputError
        As `QuestionRun.read` and `evaluate`, or if the certificate was made for another system, the model was trained
        on patients of the split, or ``predictions`` names a file of something else.
    """
    if certificate is not None:
        certificate.verify(run.system.fingerprints)
        run.system.tell_of_other_versions(certificate)
    questions = run.read(split)
    name = run_name(run.system.fingerprints, questions, run.max_k)
    if predictions is not None:
        refuse_other_run(predictions, name)
    run.refuse_trained_on(questions)
    asked = run.retrieve(questions)
    if certificate is not None:  # before hours of scoring
        _refuse_fewer(certificate, asked.domains, run.max_k)
    scored = run.score(asked)
    run.tell_unread(scored.questions, scored.table.answers)
    if certificate is not None:
        _tell_uncovered(certificate, scored)
    given = policy_answers(scored, run.known_questions(scored.questions), certificate)
    of_row: dict[int, dict[str, str | None]] = {}
    for one in given:
        for row, answer in zip(one.rows, one.answers or (), strict=False):
            of_row.setdefault(row, {})[one.policy] = answer
    answered = Predictions.collect(scored, of_row, run.system.fingerprints, name)
    figures = None
    if measured:
        noised = None if noising is None else run.score(asked, alter=noising.alter, alteration=noising.name)
        fingerprints, tokens = run.system.fingerprints, _prompt_tokens(run, asked)
        figures = measure_run(scored, given, fingerprints, noised=noised, tokens=tokens, seed=seed)
        if timed:
            figures = replace(figures, seconds=time_answers(run, asked, timed, certificate, seed=seed))
    return Evaluation(measure_answers(scored, given), answered, figures)


def _prompt_tokens(run: QuestionRun, asked: Retrieved[Question]) -> NDArray[np.int64]:
    """Text tokens of each question's prompt with k = 0..K reports, ``[n, K + 1]``: those of its parts, added up."""
    mllm = run.system.mllm
    template = run.system.prompt.for_model(mllm)
    known: dict[str, int] = {}

    def count(text: str) -> int:
        if text not in known:
            known[text] = mllm.count_tokens(text)
        return known[text]

    opening = count(template.opening())
    rows = []
    for question, matches in zip(asked.questions, asked.matches, strict=True):
        least = opening + count(template.closing(question.text, question.options))
        reports = [match.record.report for match in matches[: run.max_k]]
        added = [count(template.context(number, report)) for number, report in enumerate(reports, start=1)]
        added += [0] * (run.max_k - len(added))
        rows.append(least + np.cumsum([0, *added]))
    return np.array(rows, dtype=np.int64)


def _refuse_fewer(certificate: Certificate, domains: Sequence[str], max_k: int) -> None:
    for domain in sorted(set(certificate.certified_domains) & set(domains)):
        needed = certificate.policy(domain).k
        if needed > max_k:
            raise InputError(
                f"the certified policy of {domain} reads {needed} reports, --max-k is {max_k}; give at least {needed}"
            )


def _tell_uncovered(certificate: Certificate, scored: Outcomes) -> None:
    """Tell how many questions of certified domains are judged beside the certificate, but not promised anything."""
    promised = [
        certificate.why_not_covered(domain, question.text, question.option_keys) is None
        for question, domain in zip(scored.questions, scored.table.domains, strict=True)
        if domain in certificate.certified_domains
    ]
    if not all(promised):
        warnings.warn(
            f"{promised.count(False)} of {len(promised)} questions are worded, or have options, as none that were "
            "calibrated: the row of the certified policy counts them, its promise does not",
            TitrateWarning,
            stacklevel=3,
        )
