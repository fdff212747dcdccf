"""Policies side by side on the same questions: fixed k, blends, gates, the certified one, two that need no model.

Closed questions only. Retrieval by itself: `rag.evaluation.retrieval`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration import BLENDS, Certificate, OutcomeTable, Policy, PolicyGrid, read_policy
from rag.comparators.baselines import Baselines
from rag.comparators.without_model import MAJORITY, NEAREST, NOT_LEARNT, VOTE
from rag.evaluation.metrics import Metrics, measure
from rag.outcomes.calibrate import GATES
from rag.outcomes.score import Outcomes
from rag.questions import Question
from rag.report.words import policy_name

CERTIFIED_POLICY = "certified policy"


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
    contexts, probabilities
        How many the model read, and what it thought of each option, ``[rows]``; None where no model was asked.
    by
        The policy that reads the answers off outcomes; None where none does.
    """

    domain: str
    policy: str
    rows: tuple[int, ...]
    answers: tuple[str | None, ...] | None
    note: str = ""
    contexts: tuple[int, ...] | None = None
    probabilities: tuple[NDArray[np.float64] | None, ...] | None = None
    by: Policy | None = None

    @classmethod
    def read(
        cls, domain: str, name: str, policy: Policy, rows: tuple[int, ...], table: OutcomeTable
    ) -> "PolicyAnswers":
        """Read a policy's answers off these rows of a table."""
        reading = read_policy(policy, table.take(rows))
        given = zip(reading.answers, reading.answered.tolist(), strict=True)
        return cls(
            domain,
            name,
            rows,
            tuple(text if sure else None for text, sure in given),
            contexts=tuple(reading.contexts.tolist()),
            probabilities=tuple(None if logs is None else np.exp(logs) for logs in reading.log_probabilities),
            by=policy,
        )


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
        found += [PolicyAnswers(domain, name, rows, tuple(given)) for name, given in policies]
        for policy in PolicyGrid(table.max_k, blends=BLENDS, gates=GATES).policies:
            if not policy.needs_options or table.choices is not None:
                found.append(PolicyAnswers.read(domain, policy_name(policy), policy, rows, table))
        if certificate is not None:
            found.append(_certified_answers(certificate, domain, table, rows))
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
    certificate: Certificate, domain: str, table: OutcomeTable, rows: tuple[int, ...]
) -> PolicyAnswers:
    """What the certified policy answers, None where it declines, as it does where nothing is certified."""
    result = certificate.domains.get(domain)
    if result is None or result.policy is None:  # a domain that calibration never met has no promise either
        return PolicyAnswers(domain, CERTIFIED_POLICY, rows, (None,) * len(rows), contexts=(0,) * len(rows))
    return PolicyAnswers.read(domain, CERTIFIED_POLICY, result.policy, rows, table)
