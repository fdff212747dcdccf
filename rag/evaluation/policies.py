"""Policies side by side on the same questions: fixed k, blends, gates, the certified one, two that need no model.

Closed questions only. Retrieval by itself: `rag.evaluation.retrieval`.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from calibration import BLENDS, Certificate, OutcomeTable, PolicyGrid, answers_of
from rag.comparators.baselines import Baselines
from rag.comparators.without_model import MAJORITY, NEAREST, NOT_LEARNT, VOTE
from rag.evaluation.metrics import Metrics, measure
from rag.evaluation.predictions import Predictions
from rag.outcomes.calibrate import GATES
from rag.outcomes.run import QuestionRun
from rag.outcomes.score import Outcomes
from rag.questions import Question
from rag.report.words import policy_name
from titrate import InputError, TitrateWarning

CERTIFIED = "certified policy"


@dataclass(frozen=True)
class PolicyScore:
    """One policy in one domain; without metrics where it answers nothing.

    Attributes
    ----------
    domain, policy
        What was measured.
    metrics
        Over the questions that got an answer.
    asked
        Closed questions routed to the domain.
    note
        Why there are no metrics; empty where there are.
    """

    domain: str
    policy: str
    metrics: Metrics | None
    asked: int
    note: str = ""


@dataclass(frozen=True)
class PolicyAnswers:
    """What one policy answers to the closed questions of one domain.

    Attributes
    ----------
    domain, policy
        Of whom.
    rows
        The questions, by their place among the outcomes.
    answers
        To each of these; None where it declines. None in all where the policy is not available.
    note
        Why it is not.
    """

    domain: str
    policy: str
    rows: tuple[int, ...]
    answers: tuple[str | None, ...] | None
    note: str = ""


def policy_answers(
    outcomes: Outcomes, known: Sequence[Question], certificate: Certificate | None
) -> list[PolicyAnswers]:
    """What every policy answers in every domain that closed questions were routed to; see `evaluate`.

    Raises
    ------
    InputError
        If the certificate reads more contexts than the outcomes hold.
    """
    baselines = Baselines(known)
    found = []
    table = outcomes.table
    for domain in sorted(set(table.domains)):
        rows = tuple(
            row for row, name in enumerate(table.domains) if name == domain and outcomes.questions[row].options
        )
        if not rows:
            continue
        questions = [outcomes.questions[row] for row in rows]
        near = [[match.record.id for match in outcomes.matches[row]] for row in rows]
        policies: list[tuple[str, Sequence[str | None]]] = []
        if any(question.options for question in known):
            policies += [
                (MAJORITY, [baselines.majority(question) for question in questions]),
                (NEAREST, [baselines.nearest(q, records) for q, records in zip(questions, near, strict=True)]),
                (VOTE, [baselines.vote(q, records)[0] for q, records in zip(questions, near, strict=True)]),
            ]
        else:
            found += [PolicyAnswers(domain, name, rows, None, NOT_LEARNT) for name in (MAJORITY, NEAREST, VOTE)]
        policies += [(f"k = {k}", [table.answers[row][k] for row in rows]) for k in range(table.max_k + 1)]
        tried = PolicyGrid(table.max_k, blends=BLENDS, gates=GATES).policies
        mine = table.take(rows)
        if mine.choices is not None:
            policies += [(policy_name(policy), answers_of(policy, mine)) for policy in tried if policy.needs_options]
        if certificate is not None:
            policies.append((CERTIFIED, _certified_answers(certificate, domain, table, rows)))
        found += [PolicyAnswers(domain, name, rows, tuple(given)) for name, given in policies]
    return found


def evaluate(outcomes: Outcomes, known: Sequence[Question], certificate: Certificate | None) -> list[PolicyScore]:
    """Measure every policy in every domain that closed questions were routed to.

    Parameters
    ----------
    outcomes
        Of the questions to judge by.
    known
        Answered questions of the indexed split, for the baselines: none of those to judge by. Without any, they
        have no metrics, as there is nothing to learn from.
    certificate
        Adds the certified policy; it answers nothing in a domain where nothing is certified.

    Raises
    ------
    InputError
        If the certificate reads more contexts than the outcomes hold.
    """
    return measure_answers(outcomes, policy_answers(outcomes, known, certificate))


def measure_answers(outcomes: Outcomes, given: Sequence[PolicyAnswers]) -> list[PolicyScore]:
    """Measure policies by what they answered."""
    scores = []
    for one in given:
        if one.answers is None:
            scores.append(PolicyScore(one.domain, one.policy, None, len(one.rows), one.note))
            continue
        pairs = [
            (answer, outcomes.questions[row])
            for answer, row in zip(one.answers, one.rows, strict=True)
            if answer is not None
        ]
        said, asked = [answer for answer, _ in pairs], [question for _, question in pairs]
        right, patients = [question.answer for question in asked], [question.unit for question in asked]
        metrics = measure(said, right, patients) if pairs else None
        note = "" if pairs else f"no answer to any of {len(one.rows)} questions"
        scores.append(PolicyScore(one.domain, one.policy, metrics, len(one.rows), note))
    return scores


@dataclass(frozen=True)
class Evaluation:
    """What came of a question file: how good every policy is, and what it answered to each question."""

    scores: list[PolicyScore]
    predictions: Predictions


def evaluate_run(run: QuestionRun, split: str, certificate: Certificate | None = None) -> Evaluation:
    """Answer the questions of a split at every k, and measure every policy; see `evaluate`.

    Raises
    ------
    InputError
        As `QuestionRun.read` and `evaluate`, or if the certificate was made for another system, or the model
        was trained on patients of the split.
    """
    if certificate is not None:
        certificate.verify(run.system.fingerprints)
        run.system.tell_of_other_versions(certificate)
    questions = run.read(split)
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
    predictions = Predictions.collect(scored, of_row, run.system.fingerprints)
    return Evaluation(measure_answers(scored, given), predictions)


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


def format_scores(rows: Sequence[PolicyScore]) -> str:
    """The rows as a plain table, a domain after the other."""
    lines = [f"{'domain':<15}{'policy':<22}{'n':>6}{'accuracy':>10}{'95 % interval':>17}{'balanced':>10}{'F1':>7}"]
    for row in rows:
        m = row.metrics
        if m is None:
            lines.append(f"{row.domain:<15}{row.policy:<22}{0:>6}  {row.note}")
            continue
        interval = f"{m.low:.3f} to {m.high:.3f}"
        lines.append(
            f"{row.domain:<15}{row.policy:<22}{m.questions:>6}{m.accuracy:>10.3f}{interval:>17}"
            f"{m.balanced_accuracy:>10.3f}{m.f1:>7.3f}"
        )
    return "\n".join(lines)


def _certified_answers(
    certificate: Certificate, domain: str, table: OutcomeTable, rows: Sequence[int]
) -> list[str | None]:
    """What the certified policy answers, None where it declines, as it does where nothing is certified."""
    result = certificate.domains.get(domain)
    if result is None or result.policy is None:  # a domain that calibration never met has no promise either
        return [None] * len(rows)
    return answers_of(result.policy, table.take(rows))
