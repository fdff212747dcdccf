"""Shares, gains and risks over questions, with intervals from one bootstrap over patients that all seeds share."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
DRAWS, SEED = 2000, 0


class Bootstrap:
    """Patients drawn with replacement, ``DRAWS`` times; before that the sample itself.

    Parameters
    ----------
    units
        The patient of each question, ``[n]``.
    draws
        How often.
    """

    def __init__(self, units: Sequence[str], draws: int = DRAWS) -> None:
        names, self._of = np.unique(np.array(units), return_inverse=True)
        patients = len(names)
        drawn = np.random.default_rng(SEED).multinomial(patients, np.full(patients, 1 / patients), size=draws)
        self._times = np.vstack([np.ones(patients), drawn])  # [1 + draws, patients]

    @property
    def weights(self) -> Numbers:
        """How often each question was drawn, ``[1 + draws, n]``."""
        weights: Numbers = self._times[:, self._of]
        return weights

    def total(self, values: NDArray[Any]) -> Numbers:
        """Sum over questions in each draw, ``[1 + draws]``, of values ``[n]``."""
        total: Numbers = self._times @ np.bincount(self._of, values, minlength=self._times.shape[1])
        return total

    def total_of_means(self, values: NDArray[Any], among: NDArray[np.bool_]) -> Numbers:
        """Sum over patients of the mean over their questions ``among`` ``[n]``, ``[1 + draws]``."""
        sizes = np.bincount(self._of, among, minlength=self._times.shape[1])
        means = np.bincount(self._of, values * among, minlength=len(sizes)) / np.maximum(sizes, 1)
        total: Numbers = self._times @ means
        return total


def ratio(part: Numbers, whole: Numbers) -> Numbers:
    """Quotients; NaN where there is nothing to divide by."""
    quotients: Numbers = np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
    return quotients


def mean_of_known(rows: Sequence[Numbers]) -> Numbers:
    """Mean over rows ``[rows][m]`` of those that are no NaN; NaN where all are."""
    stacked = np.array(rows)
    known = np.isfinite(stacked)
    return ratio(np.where(known, stacked, 0.0).sum(axis=0), known.sum(axis=0).astype(np.float64))


def relative_gains(
    right: NDArray[np.bool_],
    base: NDArray[np.bool_],
    answered: NDArray[np.bool_],
    sources: NDArray[np.str_],
    boot: Bootstrap,
) -> dict[str, Numbers]:
    """By source, accuracy over that of no retrieval, less 1, on the questions answered; see `mean_gain`.

    Parameters
    ----------
    right, base, answered
        Whether each answer is right, whether that without retrieval is, and whether one is given, ``[n]``.
    sources
        Of each question.
    """
    found = {}
    for name in sorted(set(sources.tolist())):
        own = answered & (sources == name)
        found[name] = ratio(boot.total(right & own), boot.total(base & own)) - 1
    return found


def mean_gain(gains: dict[str, Numbers]) -> Numbers:
    """Mean over sources, each counted once; those without an answer, or never right without retrieval, are left out."""
    return mean_of_known(list(gains.values()))


def realised_risk(losses: Numbers, answered: NDArray[np.bool_], among: NDArray[np.bool_], boot: Bootstrap) -> Numbers:
    """E[l A] / P(A) over patients, as a certificate promises it, in the questions ``among`` ``[n]``."""
    given = answered & among
    return ratio(boot.total_of_means(losses * given, among), boot.total_of_means(given, among))


@dataclass(frozen=True)
class Estimate:
    """A figure: its mean over seeds, the 95 % interval of that, and each seed's; None where it does not exist."""

    value: float | None
    low: float | None
    high: float | None
    seeds: tuple[float | None, ...]

    @classmethod
    def over(cls, seeds: Sequence[Numbers]) -> "Estimate":
        """Of what each seed came to in each draw, ``[seeds][1 + draws]``.

        The interval is about patients alone: every draw takes the same ones for every seed. How far seeds of the
        training differ is seen from theirs.
        """
        together = mean_of_known(seeds)
        drawn = together[1:][np.isfinite(together[1:])]
        low, high = np.quantile(drawn, [0.025, 0.975]).tolist() if drawn.size else (None, None)
        return cls(_known(together[0]), low, high, tuple(_known(one[0]) for one in seeds))

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
