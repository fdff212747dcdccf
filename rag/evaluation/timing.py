"""Seconds per answer, measured as one user meets them: a question at a time, from its image file to the answer."""

import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibration import Certificate, Policy
from rag.evaluation.policies import CERTIFIED_POLICY
from rag.outcomes.run import QuestionRun
from rag.questions import Question
from rag.report.words import policy_name
from rag.retrieval.routing import Retrieved

TIMED = (
    "Retrieval: the image is decoded and embedded, its domain chosen, the index searched. Answering: the image is "
    "decoded for the model, which reads the prompt and answers. Loading the system and one answer before the first are "
    "not counted; nothing that was scored before is used."
)
"""What the seconds are."""


@dataclass(frozen=True)
class PolicySeconds:
    """How long a policy takes for an answer.

    Attributes
    ----------
    policy
        Its name.
    answers
        How many were timed.
    retrieval
        Median seconds to decode the image, embed it, route it and search.
    answering
        Median seconds from there to the answer: the image is decoded again, the prompt built, the model asked.
    total, slowest
        Median and largest of the sums of both.
    """

    policy: str
    answers: int
    retrieval: float
    answering: float
    total: float
    slowest: float


def time_answers(
    run: QuestionRun, asked: Retrieved[Question], count: int, certificate: Certificate | None = None, *, seed: int = 0
) -> list[PolicySeconds]:
    """Time answers of every number of reports, and of the certified policy, one by one as `Pipeline.ask` gives them.

    See `TIMED`; in the answer before the first, libraries warm up. Policies take turns question by question, so that a
    machine that slows down is no policy's fault. A server that remembers the beginnings of prompts (prefix caching) is
    quicker here than for a user, because the prompts of one question begin alike.

    Parameters
    ----------
    run, asked
        Opened, and its questions as retrieved.
    count
        How many questions to draw without replacement, at most as many as there are.
    certificate
        Adds the certified policy, timed in its domains where it answers at all.
    seed
        Of the draw.
    """
    rows = random.Random(seed).sample(range(len(asked.questions)), min(count, len(asked.questions)))
    fixed = [Policy(k) for k in range(run.max_k + 1)]
    spent: dict[str, list[tuple[float, float]]] = {}
    _seconds(run, asked.questions[rows[0]], fixed[-1])
    for row in rows:
        question = asked.questions[row]
        policies = [(policy_name(policy), policy) for policy in fixed]
        result = None if certificate is None else certificate.domains.get(asked.domains[row])
        if result is not None and result.policy is not None and question.options is not None:
            policies.append((CERTIFIED_POLICY, result.policy))
        for name, policy in policies:
            spent.setdefault(name, []).append(_seconds(run, question, policy))
    return [_summed(name, each) for name, each in spent.items()]


def _seconds(run: QuestionRun, question: Question, policy: Policy) -> tuple[float, float]:
    start = time.perf_counter()
    found = run.system.retrieve([question], policy.k, "accept")  # it was not declined among the others
    between = time.perf_counter()
    cut = not math.isinf(policy.gamma)
    run.system.answer(found, (policy.count(found.similarities(0, policy.k)),) if cut else policy.ks)
    return between - start, time.perf_counter() - between


def _summed(name: str, spent: Sequence[tuple[float, float]]) -> PolicySeconds:
    times = np.array(spent)
    (retrieval, answering), totals = np.median(times, axis=0), times.sum(1)
    return PolicySeconds(
        name, len(times), float(retrieval), float(answering), float(np.median(totals)), float(totals.max())
    )
