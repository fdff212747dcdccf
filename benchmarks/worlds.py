"""Patients whose ids tell something: simulated worlds in which every certificate is false.

The mean risk over patients is exactly alpha, so what is certified is certified wrongly. Ids sort by source, by the
patient's own risk, or by the number of questions, as ids of hospitals, data sets and folders do.
"""

from collections.abc import Callable

import numpy as np

from calibration import order_of_testing
from calibration.checks import FloatArray

ALPHA = 0.2

World = Callable[[int, np.random.Generator], tuple[list[str], FloatArray]]
Order = Callable[[list[str]], list[int]]


def by_source(patients: int, rng: np.random.Generator) -> tuple[list[str], FloatArray]:
    """A fifth from a hospital with a risk of 0.98, the others from one with 0.005; ids begin with the hospital."""
    second = rng.random(patients) < 0.2
    wrong = rng.random(patients) < np.where(second, 0.98, 0.005)
    return _named([f"hospital-{'b' if b else 'a'}" for b in second], rng), wrong.astype(np.float64)


def by_risk(patients: int, rng: np.random.Generator) -> tuple[list[str], FloatArray]:
    """Every patient has a risk of its own, even on [0, 0.4]; ids begin with a grade of how hard the case is."""
    risks = 2 * ALPHA * rng.random(patients)
    wrong = rng.random(patients) < risks
    return _named([f"{risk:.2f}" for risk in risks], rng), wrong.astype(np.float64)


def by_questions(patients: int, rng: np.random.Generator) -> tuple[list[str], FloatArray]:
    """One question with a risk of 0.05, or eight with a risk of 0.35; ids begin with the number of questions."""
    number = np.where(rng.random(patients) < 0.5, 8, 1)
    wrong = rng.binomial(number, np.where(number == 8, 0.35, 0.05)) / number
    return _named([str(questions) for questions in number], rng), wrong.astype(np.float64)


def _named(prefixes: list[str], rng: np.random.Generator) -> list[str]:
    return [
        f"{prefix}-{number:012}"
        for prefix, number in zip(prefixes, rng.integers(10**12, size=len(prefixes)), strict=True)
    ]


def sorted_ids(units: list[str]) -> list[int]:
    """The order of the ids themselves."""
    return sorted(range(len(units)), key=lambda row: units[row])


def permuted_sorted_ids(units: list[str]) -> list[int]:
    """One permutation of the sorted ids for each number of them, as it was up to certificates of schema version 3."""
    ranked = sorted_ids(units)
    return [ranked[place] for place in np.random.default_rng(0).permutation(len(units))]


WORLDS: dict[str, World] = {"by source": by_source, "by risk": by_risk, "by questions": by_questions}
ORDERS: dict[str, Order] = {
    "sorted ids": sorted_ids,
    "permuted sorted ids": permuted_sorted_ids,
    "hash of ids": order_of_testing,
}


def ordered_losses(world: World, order: Order, patients: int, runs: int, seed: int) -> FloatArray:
    """Mean losses of simulated patients in the order of testing, ``[runs, patients, 1]``.

    Parameters
    ----------
    world, order
        One of `WORLDS`, one of `ORDERS`.
    patients, runs
        So many patients in each of so many calibrations.
    seed
        The same seed draws the same patients whatever the order.
    """
    rng = np.random.default_rng([seed, patients])
    losses = np.empty((runs, patients, 1))
    for run in range(runs):
        units, drawn = world(patients, rng)
        losses[run, :, 0] = drawn[order(units)]
    return losses
