"""The guarantee, by simulation against known truth.

Every risk here is alpha or more, where certifying anything is an error, or is known, so that errors can be counted.
The bound on an error rate is delta plus three standard errors of the simulation.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest

from calibration import binomial_p_value, bonferroni, hoeffding_bentkus_p_value, mean_per_unit, wsr_p_value
from calibration.checks import FloatArray

ALPHA, DELTA, RUNS = 0.2, 0.1, 2000

Test = Callable[[FloatArray], FloatArray]
TESTS: dict[str, Test] = {
    "wsr": lambda losses: wsr_p_value(losses, ALPHA, DELTA),
    "wsr at a small level": lambda losses: wsr_p_value(losses, ALPHA, 0.001),
    "hoeffding-bentkus": lambda losses: hoeffding_bentkus_p_value(losses, ALPHA),
}


def bound(delta: float, runs: int) -> float:
    return delta + 3 * math.sqrt(delta * (1 - delta) / runs)


@pytest.mark.slow
@pytest.mark.parametrize("name", TESTS)
@pytest.mark.parametrize("n", [1, 10, 100, 400])
@pytest.mark.parametrize("shape", ["right or wrong", "graded", "nearly constant", "thirds"])
def test_error_rate_of_one_test_where_the_risk_is_alpha(name: str, n: int, shape: str) -> None:
    rng = np.random.default_rng([n, len(shape)])
    runs = 10 * RUNS
    losses = {
        "right or wrong": lambda: (rng.random((n, runs)) < ALPHA).astype(np.float64),
        "graded": lambda: rng.beta(0.4, 1.6, (n, runs)),
        "nearly constant": lambda: rng.uniform(ALPHA - 0.01, ALPHA + 0.01, (n, runs)),
        "thirds": lambda: rng.binomial(3, ALPHA, (n, runs)) / 3,
    }[shape]()
    p_values = TESTS[name](losses)
    for level in (DELTA, DELTA / 9):
        assert np.mean(p_values <= level) <= bound(level, runs)


@pytest.mark.slow
def test_error_rate_of_the_binomial_test() -> None:
    losses = (np.random.default_rng(4).random((100, 10 * RUNS)) < ALPHA).astype(np.float64)
    assert np.mean(binomial_p_value(losses, ALPHA) <= DELTA) <= bound(DELTA, 10 * RUNS)


def simulate(risks: FloatArray, n: int, questions: int, correlation: float, rng: np.random.Generator) -> FloatArray:
    """Draw 0/1 losses ``[n * questions, k]``: correlated within a patient, and across k through one common draw."""
    spread = 1 / correlation - 1
    patient = rng.beta(
        risks * spread, (1 - risks) * spread, (n, len(risks))
    )  # so that P(two agree) has this correlation
    common = rng.random((n * questions, 1))
    return (common < np.repeat(patient, questions, axis=0)).astype(np.float64)


@pytest.mark.slow
@pytest.mark.parametrize("correlation", [0.2, 0.4])
@pytest.mark.parametrize(
    "risks",
    [[0.2] * 9, [0.25, 0.2, 0.12, 0.1, 0.12, 0.2, 0.2, 0.22, 0.3], [0.2, 0.05, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2]],
    ids=["all at alpha", "U", "one good"],
)
def test_family_of_policies_with_five_questions_a_patient(risks: list[float], correlation: float) -> None:
    rng, truth, n = np.random.default_rng(5), np.array(risks), 150
    wrong = found = 0
    for _ in range(RUNS // 2):
        losses = simulate(truth, n, 5, correlation, rng)
        values, _ = mean_per_unit(losses, [f"{unit:04}" for unit in range(n) for _ in range(5)])
        certified = bonferroni(wsr_p_value(values, ALPHA, DELTA / len(truth)), DELTA)
        wrong += bool(np.any(certified & (truth >= ALPHA)))
        found += bool(np.any(certified & (truth < ALPHA)))
    assert wrong / (RUNS // 2) <= bound(DELTA, RUNS // 2)
    assert (found / (RUNS // 2) >= 0.4) == (min(risks) < ALPHA)  # cautious, but not by never certifying


@pytest.mark.slow
def test_questions_of_one_patient_are_not_independent() -> None:
    """The reason for `mean_per_unit`: without it the exact test is wrong far too often."""
    rng, n = np.random.default_rng(6), 100
    naive = averaged = 0
    for _ in range(RUNS):
        losses = simulate(np.array([ALPHA]), n, 5, 0.4, rng)
        values, _ = mean_per_unit(losses, [f"{unit:04}" for unit in range(n) for _ in range(5)])
        naive += bool(binomial_p_value(losses, ALPHA)[0] <= DELTA)
        averaged += bool(wsr_p_value(values, ALPHA, DELTA)[0] <= DELTA)
    assert naive / RUNS > bound(DELTA, RUNS)
    assert averaged / RUNS <= bound(DELTA, RUNS)
