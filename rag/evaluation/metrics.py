"""Metrics of closed answers, with intervals from a bootstrap over patients."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval from the bootstrap over patients."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Metrics:
    """How well a set of answers agrees with the references.

    Attributes
    ----------
    questions, patients
        How many were answered, and of how many patients.
    accuracy, low, high
        Share of right answers, and its 95 % interval from the bootstrap over patients.
    balanced_accuracy
        Mean of the recalls of the answers that occur.
    f1
        Mean of the F1 scores of the answers that occur (macro F1).
    """

    questions: int
    patients: int
    accuracy: float
    low: float
    high: float
    balanced_accuracy: float
    f1: float


def measure(given: Sequence[str], right: Sequence[str], patients: Sequence[str], *, seed: int = 0) -> Metrics:
    """Compare answers with references, all [n], n at least 1."""
    hits = np.array([a == b for a, b in zip(given, right, strict=True)], dtype=np.float64)
    low, high = bootstrap_interval(hits, patients, seed=seed)
    labels = sorted(set(right))
    # Recall of an answer that never is the reference does not exist.
    recalls = [hits[[reference == label for reference in right]].mean() for label in labels]
    return Metrics(
        questions=len(given),
        patients=len(set(patients)),
        accuracy=float(hits.mean()),
        low=low,
        high=high,
        balanced_accuracy=float(np.mean(recalls)),
        f1=float(f1_score(list(right), list(given), labels=labels, average="macro", zero_division=0.0)),
    )


def bootstrap_interval(
    values: NDArray[np.float64], patients: Sequence[str], *, seed: int = 0, rounds: int = 2000
) -> tuple[float, float]:
    """95 % percentile interval of the mean of ``values`` [n], patients drawn with replacement."""
    _, unit = np.unique(np.array(patients), return_inverse=True)
    sums, sizes = np.bincount(unit, values), np.bincount(unit)
    drawn = np.random.default_rng(seed).integers(len(sums), size=(rounds, len(sums)))
    means = sums[drawn].sum(1) / sizes[drawn].sum(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
