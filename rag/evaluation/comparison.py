"""Two runs side by side on the same questions: what changed, and whether that could be chance."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from rag.evaluation.metrics import bootstrap_interval
from rag.evaluation.predictions import Prediction, Predictions, paired

EVERYWHERE = "all"
"""Stands for all domains together."""


@dataclass(frozen=True)
class Comparison:
    """One policy of two runs, on the questions that both answered.

    Attributes
    ----------
    domain, policy
        What is compared.
    questions, patients
        How many both answered, and of how many patients.
    before, after
        Share of right answers of the other run, and of this one.
    difference, low, high
        Of this run less the other, and its 95 % interval from the bootstrap over patients, whose questions stay
        together in both.
    mended, broken
        Questions that only this run answers right, and only the other one.
    p_value
        Of McNemar's exact test that both kinds are equally likely (two-sided). It takes questions for independent;
        where patients have several, go by the interval.
    """

    domain: str
    policy: str
    questions: int
    patients: int
    before: float
    after: float
    difference: float
    low: float
    high: float
    mended: int
    broken: int
    p_value: float


def compare(these: Predictions, those: Predictions, *, seed: int = 0) -> list[Comparison]:
    """Compare every policy that both runs have, in each domain that both routed questions to, and over all.

    Parameters
    ----------
    these, those
        This run, and the one that it is compared with.
    seed
        Of the bootstrap.

    Raises
    ------
    InputError
        If they share no question, or name different ones alike.
    """
    pairs = paired(these, those)
    names = list(dict.fromkeys(name for one, other in pairs for name in one.policies if name in other.policies))
    domains = sorted({one.domain for one, other in pairs if one.domain == other.domain})
    groups = [(domain, [pair for pair in pairs if {each.domain for each in pair} == {domain}]) for domain in domains]
    found = []
    for domain, group in [*groups, (EVERYWHERE, pairs)]:
        for name in names:
            both = [pair for pair in group if all(each.policies.get(name) is not None for each in pair)]
            if both:
                found.append(_compared(domain, name, both, seed))
    return found


def _compared(domain: str, policy: str, pairs: Sequence[tuple[Prediction, Prediction]], seed: int) -> Comparison:
    right = np.array([[each.policies[policy] == each.reference for each in pair] for pair in pairs], dtype=np.float64)
    change = right[:, 0] - right[:, 1]  # 1 where only this run is right, -1 where only the other one is
    patients = [one.patient for one, _ in pairs]
    low, high = bootstrap_interval(change, patients, seed=seed)
    mended, broken = int((change > 0).sum()), int((change < 0).sum())
    changed = mended + broken
    return Comparison(
        domain,
        policy,
        len(pairs),
        len(set(patients)),
        before=float(right[:, 1].mean()),
        after=float(right[:, 0].mean()),
        difference=float(change.mean()),
        low=low,
        high=high,
        mended=mended,
        broken=broken,
        p_value=float(binomtest(mended, changed).pvalue) if changed else 1.0,
    )


def format_comparison(rows: Sequence[Comparison]) -> str:
    """The rows as a plain table."""
    lines = [
        f"{'domain':<15}{'policy':<22}{'n':>6}{'before':>8}{'after':>8}{'change':>8}{'95 % interval':>19}"
        f"{'mended':>8}{'broken':>8}{'p':>8}"
    ]
    for row in rows:
        interval = f"{row.low:+.3f} to {row.high:+.3f}"
        lines.append(
            f"{row.domain:<15}{row.policy:<22}{row.questions:>6}{row.before:>8.3f}{row.after:>8.3f}"
            f"{row.difference:>+8.3f}{interval:>19}{row.mended:>8}{row.broken:>8}{row.p_value:>8.3f}"
        )
    return "\n".join(lines)
