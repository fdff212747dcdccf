"""p-values against values worked out by hand, and at their edges."""

import math
import time
from collections.abc import Callable

import numpy as np
import pytest
from mapie.risk_control.methods import compute_hoeffding_bentkus_p_value

from calibration import binomial_p_value, hoeffding_bentkus_p_value, wsr_log_capital, wsr_p_value
from calibration.checks import FloatArray
from titrate import InputError


def column(*losses: float) -> FloatArray:
    return np.array(losses, dtype=np.float64)[:, None]


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([0, 0, 0], 0.8**3),  # risk 0
        ([1, 0, 0, 0, 0], 0.8**5 + 5 * 0.2 * 0.8**4),  # risk = alpha
        ([0], 0.8),  # n = 1
        ([1], 1.0),
        ([1, 1, 1, 1], 1.0),
    ],
)
def test_binomial_by_hand(losses: list[float], expected: float) -> None:
    assert binomial_p_value(column(*losses), 0.2) == pytest.approx([expected], rel=1e-12)


def test_binomial_refuses_graded_losses() -> None:
    with pytest.raises(InputError, match="use wsr"):
        binomial_p_value(column(0, 0.5), 0.2)


@pytest.mark.parametrize(
    ("losses", "alpha", "expected"),
    [
        ([0] * 10, 0.2, 0.8**10),  # risk 0: exp(-n h1(0, a)) = (1 - a)^n, below e (1 - a)^n
        ([1, 0, 0, 0, 0], 0.2, 1.0),  # risk = alpha
        ([0.9, 0.9], 0.2, 1.0),  # risk above alpha
        ([0], 0.2, 0.8),  # n = 1
        ([0.5], 0.6, math.sqrt(0.24 / 0.25)),  # h1(0.5, 0.6) = log(0.25 / 0.24) / 2
        ([0.5] * 4, 0.6, (0.24 / 0.25) ** 2),  # all equal
    ],
)
def test_hoeffding_bentkus_by_hand(losses: list[float], alpha: float, expected: float) -> None:
    assert hoeffding_bentkus_p_value(column(*losses), alpha) == pytest.approx([expected], rel=1e-12)


@pytest.mark.parametrize("losses", [[1.0] * 2 + [0.0] * 98, [0.1] * 20 + [0.0] * 80, [0.075] * 20 + [0.0] * 80])
def test_hoeffding_bentkus_where_the_second_bound_is_the_smaller(losses: list[float]) -> None:
    # n R is 2, then 2 but for rounding, then 1.5 and rounded up; Hoeffding gives 0.0059 for 2.
    tail = sum(math.comb(100, i) * 0.1**i * 0.9 ** (100 - i) for i in range(3))
    hoeffding = math.exp(-100 * (0.015 * math.log(0.015 / 0.1) + 0.985 * math.log(0.985 / 0.9)))
    expected = min(math.e * tail, hoeffding) if sum(losses) < 1.9 else math.e * tail
    assert hoeffding_bentkus_p_value(column(*losses), 0.1) == pytest.approx([expected], rel=1e-9)


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([0], 16 / 19),  # bet 0.75 / 0.8, capital 1 + 0.9375 * 0.2 = 19/16
        ([0, 0], (16 / 19) ** 2),  # risk 0
        ([1], 1.0),  # capital 0.25
        ([1, 1, 1], 1.0),
        ([0.2] * 50, 1.0),  # all equal to alpha: the bets neither win nor lose
        ([0, 1], 16 / 19),  # the largest capital counts, not the last
    ],
)
def test_wsr_by_hand(losses: list[float], expected: float) -> None:
    assert wsr_p_value(column(*losses), 0.2, 0.1) == pytest.approx([expected], rel=1e-12)


def test_wsr_bets_by_hand() -> None:
    # delta = 0.9 makes the bets small enough not to be cut. n = 2, v_0 = 1/4: first bet sqrt(2 c / (2/4)).
    c = math.log(1 / 0.9)
    first = 1 - math.sqrt(4 * c) * (1 - 0.2)
    # After a loss of 1: m_1 = 1.5 / 2, v_1 = (1/4 + 1/16) / 2 = 5/32; second bet sqrt(2 c / (2 * 5/32)).
    second = 1 + math.sqrt(c * 32 / 5) * 0.2
    expected = [[math.log(first)], [math.log(first * second)]]
    assert wsr_log_capital(column(1, 0), 0.2, 0.9) == pytest.approx(np.array(expected), rel=1e-12)


def test_wsr_agrees_with_the_formula_written_as_a_loop() -> None:
    losses = np.random.default_rng(1).random((40, 5)) * np.array([0.1, 0.2, 0.3, 0.6, 1.0])
    alpha, delta, n = 0.15, 0.02, len(losses)
    for policy, p_value in enumerate(wsr_p_value(losses, alpha, delta)):
        capital = most = 1.0
        for i in range(n):
            means = [(0.5 + losses[: j + 1, policy].sum()) / (j + 2) for j in range(i)]
            squares = sum((losses[j, policy] - means[j]) ** 2 for j in range(i))
            bet = min(0.75 / (1 - alpha), math.sqrt(2 * math.log(1 / delta) / (n * (0.25 + squares) / (i + 1))))
            capital *= 1 - bet * (losses[i, policy] - alpha)
            most = max(most, capital)
        assert p_value == pytest.approx(1 / most, rel=1e-10, abs=0)


@pytest.mark.parametrize("losses", [[0.0] * 40, [1.0] * 4 + [0.0] * 36, [0.05] * 40, [0.3] * 40, [0.5] + [0.1] * 9])
def test_hoeffding_bentkus_agrees_with_mapie(losses: list[float]) -> None:
    risk = np.array([math.fsum(losses) / len(losses)])
    theirs = compute_hoeffding_bentkus_p_value(risk, len(losses), 0.2)[:, 0]
    assert hoeffding_bentkus_p_value(column(*losses), 0.2) == pytest.approx(np.minimum(theirs, 1), rel=1e-9)


def test_wsr_of_equal_losses_by_hand() -> None:
    # Three losses of 0.1 against 0.2, the bets at their largest: each wins 0.75 / 0.8 of the difference.
    assert wsr_p_value(column(0.1, 0.1, 0.1), 0.2, 0.01) == pytest.approx([(1 + 0.9375 * 0.1) ** -3], rel=1e-12)


def test_wsr_of_selective_losses_by_hand() -> None:
    # (l - alpha) A moved up by alpha: right 0, wrong 1, declined alpha, which neither wins nor loses.
    tested = column(0, 0.2, 0.2, 0)
    first, last = wsr_log_capital(tested, 0.2, 1e-9)[[0, 3], 0]
    assert wsr_log_capital(tested, 0.2, 1e-9)[1:3, 0] == pytest.approx([first, first], abs=1e-15)
    assert last == pytest.approx(2 * math.log(19 / 16), rel=1e-12)


def test_wsr_of_fewer_than_planned_is_the_beginning_of_the_whole() -> None:
    losses = np.random.default_rng(5).random((60, 3)) / 3
    whole = wsr_log_capital(losses, 0.25, 0.1)
    assert np.array_equal(wsr_log_capital(losses[:20], 0.25, 0.1, planned=60), whole[:20])
    assert not np.array_equal(wsr_log_capital(losses[:20], 0.25, 0.1), whole[:20])
    with pytest.raises(InputError, match="19 units are planned, but 20 given"):
        wsr_log_capital(losses[:20], 0.25, 0.1, planned=19)


def test_wsr_takes_a_level_per_policy() -> None:
    losses = np.random.default_rng(6).random((300, 3)) / 3
    levels = np.array([0.1, 0.01, 0.9])
    each = [wsr_p_value(losses[:, [i]], 0.25, levels[i])[0] for i in range(3)]
    assert wsr_p_value(losses, 0.25, levels).tolist() == each
    with pytest.raises(InputError, match="delta"):
        wsr_p_value(losses, 0.25, np.array([0.1, 0.0, 0.1]))


def test_data_sets_are_tested_side_by_side() -> None:
    losses = (np.random.default_rng(7).random((5, 30, 4)) < 0.1).astype(np.float64)
    functions: list[Callable[[FloatArray], FloatArray]] = [
        lambda x: wsr_p_value(x, 0.25, 0.1),
        lambda x: hoeffding_bentkus_p_value(x, 0.25),
        lambda x: binomial_p_value(x, 0.25),
    ]
    for function in functions:
        assert np.array_equal(function(losses), np.stack([function(each) for each in losses]))


@pytest.mark.slow
def test_speed_of_2000_patients_and_200_policies() -> None:
    losses = np.random.default_rng(8).random((2000, 200))
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        wsr_p_value(losses, 0.2, 0.1 / 200)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.5


def test_wsr_bets_use_earlier_units_only() -> None:
    rng = np.random.default_rng(2)
    losses, alpha, delta = rng.random((30, 1)), 0.3, 0.5
    path = wsr_log_capital(losses, alpha, delta)
    for i in range(len(losses)):
        other = losses.copy()
        other[i:] = rng.random((len(losses) - i, 1))
        changed = wsr_log_capital(other, alpha, delta)
        assert np.array_equal(changed[:i], path[:i])  # what comes later changes no earlier bet
        before = path[i - 1] if i else 0.0
        bets = [(1 - np.exp(p[i] - before)) / (x[i] - alpha) for p, x in ((path, losses), (changed, other))]
        assert bets[0] == pytest.approx(bets[1], rel=1e-9)  # nor does the unit itself change its own bet
        assert 0 < bets[0] <= 0.75 / (1 - alpha) + 1e-12


def test_wsr_survives_the_worst_and_the_best_data() -> None:
    extreme = np.repeat([[0.0, 1.0]], 200_000, axis=0)
    path = wsr_log_capital(extreme, 0.05, 0.001)
    assert np.all(np.isfinite(path))  # the capital itself would overflow, and underflow
    assert wsr_p_value(extreme, 0.05, 0.001).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("function", [wsr_p_value, lambda x, a, d: hoeffding_bentkus_p_value(x, a)])
def test_columns_are_tested_one_by_one(function: object) -> None:
    assert callable(function)
    losses = np.random.default_rng(3).random((50, 4)) / 3
    each = [function(losses[:, [policy]], 0.25, 0.1)[0] for policy in range(4)]
    assert function(losses, 0.25, 0.1) == pytest.approx(each, rel=1e-12)


@pytest.mark.parametrize(
    "losses",
    [
        np.array([[1.1]]),
        np.array([[-1e-9]]),
        np.array([[np.nan]]),
        np.array([[np.inf]]),
        np.empty((0, 3)),
        np.empty((3, 0)),
        np.zeros(3),
        [["wrong"]],
        [[0.0, 1.0], [0.0]],
    ],
)
def test_losses_that_are_no_losses(losses: FloatArray) -> None:
    with pytest.raises(InputError):
        wsr_p_value(losses, 0.2, 0.1)
    with pytest.raises(InputError):
        hoeffding_bentkus_p_value(losses, 0.2)
    with pytest.raises(InputError):
        binomial_p_value(losses, 0.2)


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1, 1.5, math.nan])
def test_levels_outside_0_to_1(level: float) -> None:
    losses = column(0, 0)
    with pytest.raises(InputError, match="alpha"):
        binomial_p_value(losses, level)
    with pytest.raises(InputError, match="alpha"):
        hoeffding_bentkus_p_value(losses, level)
    with pytest.raises(InputError, match="alpha"):
        wsr_p_value(losses, level, 0.1)
    with pytest.raises(InputError, match="delta"):
        wsr_p_value(losses, 0.1, level)
