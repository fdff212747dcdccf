"""Bets, unit after unit, that a risk is below alpha: capital that grows where it is.

While the risk is alpha or more, a capital that starts at 1 and of which every bet looks back only is a non-negative
supermartingale K, and Ville's inequality gives P(max_t K_t >= 1/p) <= p: whenever one stops, and however the bets are
sized. The two ways to size them here are wsr's, which do not know how they have fared, and star's, which aim at what is
still missing. `calibration.testing.pvalues` and `calibration.testing.procedures` make tests of them.
"""

from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from calibration.checks import FloatArray, IntArray, check_level, check_unit_interval
from titrate import InputError

MAX_BET = 0.75
"""Largest bet as a share of 1/(1 - alpha), at which one loss of 1 would ruin the gambler (Waudby-Smith & Ramdas use
the same 3/4): up to 0.9 wins some power where the risk is near 0 and loses as much where it is half of alpha."""

_MOST_LOG, _LEAST = 700.0, 1e-300
"""exp of more is infinite; less, or what rounding leaves of a difference, has no logarithm."""


def wsr_log_capital(losses: ArrayLike, alpha: float, delta: ArrayLike, planned: ArrayLike | None = None) -> FloatArray:
    """Logarithm of the capital of a gambler who bets, unit after unit, that the risk is below alpha.

    K_t = prod_{i<=t} (1 - nu_i (l_i - alpha)) with nu_i = min(0.75 / (1 - alpha), sqrt(2 log(1/delta) / (n v_{i-1}))),
    v_i = (1/4 + sum_{j<=i} (l_j - m_j)^2) / (i + 1) and m_i = (1/2 + sum_{j<=i} l_j) / (i + 1)
    (Waudby-Smith & Ramdas, arXiv 2010.09686; the form of Bates et al., 2101.02703).

    Parameters
    ----------
    losses
        In [0, 1], ``[..., units, policies]``, units in an order that does not depend on their losses.
    alpha
        The risk to stay at or under, in (0, 1).
    delta
        The p-value hoped for, in (0, 1), one or ``[policies]``. It sets the size of the bets only: the result is valid
        whatever it is.
    planned
        n in the formula, where more units than those given are to come; it too sets the size of the bets only. One for
        each unit, ``[units]``, where more were planned for later: how many units there were to be in all, as far as was
        known when this one was drawn.

    Returns
    -------
    ``[..., units, policies]``, log K_t after each unit.

    Raises
    ------
    InputError
        If a loss is outside [0, 1] or NaN, the table is empty, alpha or delta is not in (0, 1), or fewer units are
        planned than given.
    """
    table, alpha = check_unit_interval("losses", losses, stacked=True), check_level("alpha", alpha)
    hoped = -np.log(_levels(delta))
    units = table.shape[-2]
    n = _check_planned(planned, units)[:, None]
    pseudo_count = np.arange(2, units + 2, dtype=np.float64)[:, None]
    deviation = np.cumsum(table, axis=-2)
    deviation += 0.5
    deviation /= pseudo_count
    np.subtract(table, deviation, out=deviation)
    np.square(deviation, out=deviation)
    bet = np.empty_like(table)  # the variance before each unit, then the bet on it
    bet[..., 0, :] = 0.25
    np.cumsum(deviation[..., :-1, :], axis=-2, out=bet[..., 1:, :])
    bet[..., 1:, :] += 0.25
    bet[..., 1:, :] /= pseudo_count[:-1]
    np.divide(2 * hoped / n, bet, out=bet)
    np.sqrt(bet, out=bet)
    np.minimum(bet, MAX_BET / (1 - alpha), out=bet)
    bet *= alpha - table
    np.log1p(bet, out=bet)
    return np.asarray(np.cumsum(bet, axis=-2), dtype=np.float64)


def star_log_capital(
    losses: ArrayLike,
    alpha: float,
    delta: ArrayLike,
    planned: ArrayLike | None = None,
    weights: FloatArray | None = None,
) -> FloatArray:
    """Logarithm of the capital of a gambler who aims: every bet is sized by what is still missing, and how many remain.

    K_t is the product of `wsr_log_capital`, with its v, and nu_i = min(0.75 / (1 - alpha), sqrt(2 g_i / (r_i v_{i-1})))
    (STaR, Voracek & Orabona, arXiv 2505.22422): r_i units remain, this one included, and g_i is the logarithm by which
    the goal is still missed, 0 once it is reached. A policy that has reached its goal bets no more.

    Alone, a policy's goal is 1/delta_j for its capital. With ``weights`` w it is that of
    `calibration.testing.procedures.closed_betting`, which all policies work for together: w_j K_j + sum_{i != j} w_i
    min(K_i, 1/delta) has to come to 1/delta. Every bet looks at earlier units only, and so may look at all policies.

    Parameters
    ----------
    losses, alpha, planned
        As for `wsr_log_capital`.
    delta
        Without ``weights`` the p-value hoped for, one or ``[policies]``; with them the level of the whole closed test.
    weights
        Shares of delta ``[policies]``, above 0, adding up to at most 1.

    Returns
    -------
    ``[..., units, policies]``, log K_t after each unit.

    Raises
    ------
    InputError
        As `wsr_log_capital`.
    """
    table, alpha = check_unit_interval("losses", losses, stacked=True), check_level("alpha", alpha)
    hoped = -np.log(_levels(delta))
    units = table.shape[-2]
    remaining = _check_planned(planned, units) - np.arange(units)
    capital = np.zeros(table.shape[:-2] + table.shape[-1:])  # its logarithm
    total, squares = np.full_like(capital, 0.5), np.full_like(capital, 0.25)
    result = np.empty_like(table)
    for row in range(units):
        reached = capital if weights is None else np.log(closed_wealth(capital, float(np.max(hoped)), weights))
        missing = np.maximum(hoped - reached, 0.0)
        bet = np.minimum(np.sqrt(2 * missing * (row + 1) / (remaining[row] * squares)), MAX_BET / (1 - alpha))
        losses_now = table[..., row, :]
        capital = capital + np.log1p(bet * (alpha - losses_now))
        result[..., row, :] = capital
        total = total + losses_now
        squares = squares + (losses_now - total / (row + 2)) ** 2
    return result


def closed_wealth(log_capital: FloatArray, log_goal: float, weights: FloatArray) -> FloatArray:
    """w_j K_j + sum_{i != j} w_i min(K_i, G): what policy j has for a goal G, where others count no more than G.

    Parameters
    ----------
    log_capital
        log K, ``[..., policies]``.
    log_goal
        log G.
    weights
        w ``[policies]``.
    """
    full = weights * np.exp(np.minimum(log_capital, _MOST_LOG))
    capped = weights * np.exp(np.minimum(log_capital, log_goal))
    wealth = full + (capped.sum(axis=-1, keepdims=True) - capped)
    return np.asarray(np.maximum(wealth, _LEAST), dtype=np.float64)


def _levels(delta: ArrayLike) -> FloatArray:
    return np.asarray(np.vectorize(partial(check_level, "delta"), otypes=[np.float64])(delta), dtype=np.float64)


def _check_planned(planned: ArrayLike | None, units: int) -> IntArray:
    """How many units were planned for in all, ``[units]``: as many as there are, if nothing else is said."""
    plan = np.broadcast_to(np.asarray(units if planned is None else planned, dtype=np.int64), (units,))
    if bool(np.any(plan < np.arange(1, units + 1))) or plan[-1] < units:
        raise InputError(f"{int(plan.min())} units are planned, but {units} given; plan for all of them")
    return np.array(plan)
