"""p-values for H: "the mean of these independent values in [0, 1] is above alpha".

A small p-value is evidence that the risk is at most alpha. Each function takes one column per policy and tests all
columns at once; it says nothing about how many policies are tried (see `calibration.testing.procedures`), and its rows
must be independent (see `calibration.units`). Leading axes, such as simulated data sets, are tested side by side.
"""

from collections.abc import Callable
from functools import partial
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import rel_entr
from scipy.stats import binom

from calibration.checks import FloatArray, check_level, check_unit_interval
from titrate import InputError

MAX_BET = 0.75
"""Largest bet as a share of 1/(1 - alpha), at which one loss of 1 would ruin the gambler (Waudby-Smith & Ramdas use
the same 3/4): up to 0.9 wins some power where the risk is near 0 and loses as much where it is half of alpha."""


def binomial_p_value(losses: ArrayLike, alpha: float) -> FloatArray:
    """Exact binomial tail, for units that each hold a single right (0) or wrong (1).

    p = P(Bin(n, alpha) <= number of losses).

    Parameters
    ----------
    losses
        0 or 1, ``[..., units, policies]``.
    alpha
        The risk to stay at or under, in (0, 1).

    Returns
    -------
    ``[..., policies]``

    Raises
    ------
    InputError
        If a loss is neither 0 nor 1, the table is empty, or alpha is not in (0, 1).
    """
    table, alpha = check_unit_interval("losses", losses, stacked=True), check_level("alpha", alpha)
    if not bool(np.all((table == 0) | (table == 1))):
        raise InputError("the binomial p-value needs one loss of 0 or 1 per patient; use wsr for any other losses")
    return np.asarray(binom.cdf(table.sum(axis=-2), table.shape[-2], alpha), dtype=np.float64)


def hoeffding_bentkus_p_value(losses: ArrayLike, alpha: float) -> FloatArray:
    """Hoeffding–Bentkus p-value, the one that RULE (arXiv 2407.05131) and Learn then Test (2110.01052) use.

    p = min(exp(-n h1(min(R, alpha), alpha)), e P(Bin(n, alpha) <= ceil(n R)), 1) with R the mean loss and
    h1(a, b) = a log(a/b) + (1 - a) log((1 - a)/(1 - b)).

    Parameters
    ----------
    losses
        In [0, 1], ``[..., units, policies]``.
    alpha
        The risk to stay at or under, in (0, 1).

    Returns
    -------
    ``[..., policies]``

    Raises
    ------
    InputError
        If a loss is outside [0, 1] or NaN, the table is empty, or alpha is not in (0, 1).
    """
    table, alpha = check_unit_interval("losses", losses, stacked=True), check_level("alpha", alpha)
    n, total = table.shape[-2], table.sum(axis=-2)
    risk = np.minimum(total / n, alpha)
    hoeffding = np.exp(-n * (rel_entr(risk, alpha) + rel_entr(1 - risk, 1 - alpha)))
    # Ten losses of 0.1 add up to slightly less or more than 1, so whole sums are recognised to within rounding.
    # That is safe: between whole sums Bentkus's bound interpolates, so 1e-9 changes it by about a part in 1e9.
    bentkus = np.e * binom.cdf(np.ceil(total - 1e-9), n, alpha)
    return np.asarray(np.minimum(np.minimum(hoeffding, bentkus), 1.0), dtype=np.float64)


def wsr_log_capital(losses: ArrayLike, alpha: float, delta: ArrayLike, planned: int | None = None) -> FloatArray:
    """Logarithm of the capital of a gambler who bets, unit after unit, that the risk is below alpha.

    K_t = prod_{i<=t} (1 - nu_i (l_i - alpha)) with nu_i = min(0.75 / (1 - alpha), sqrt(2 log(1/delta) / (n v_{i-1}))),
    v_i = (1/4 + sum_{j<=i} (l_j - m_j)^2) / (i + 1) and m_i = (1/2 + sum_{j<=i} l_j) / (i + 1)
    (Waudby-Smith & Ramdas, arXiv 2010.09686; the form of Bates et al., 2101.02703).

    The bet nu_i looks only at the units before i, is never negative and never stakes everything, so while the risk is
    alpha or more K is a non-negative supermartingale from 1, and Ville's inequality gives P(max_t K_t >= 1/p) <= p.

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
        n in the formula, where more units than those given are to come; it too sets the size of the bets only.

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
    hoped = -np.log(np.vectorize(partial(check_level, "delta"), otypes=[np.float64])(delta))
    units = table.shape[-2]
    n = units if planned is None else planned
    if n < units:
        raise InputError(f"{n} units are planned, but {units} given; plan for all of them")
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


def wsr_p_value(losses: ArrayLike, alpha: float, delta: ArrayLike, planned: int | None = None) -> FloatArray:
    """Betting p-value p = min(1, 1 / max_t K_t), valid for graded losses and at any stopping time.

    Parameters and errors are those of `wsr_log_capital`, which holds the mathematics.

    Returns
    -------
    ``[..., policies]``

    Examples
    --------
    Sixty patients without a single error, against a risk of 0.1:

    >>> import numpy as np
    >>> bool(wsr_p_value(np.zeros((60, 1)), alpha=0.1, delta=0.1)[0] < 0.05)
    True
    """
    most = wsr_log_capital(losses, alpha, delta, planned).max(axis=-2)
    return np.asarray(np.exp(-np.maximum(most, 0.0)), dtype=np.float64)


P_VALUES: MappingProxyType[str, Callable[[FloatArray, float, FloatArray], FloatArray]] = MappingProxyType(
    {
        "wsr": wsr_p_value,
        "hoeffding-bentkus": lambda losses, alpha, delta: hoeffding_bentkus_p_value(losses, alpha),
        "binomial": lambda losses, alpha, delta: binomial_p_value(losses, alpha),
    }
)
"""Each p-value by the name that a certificate carries: a function of losses ``[units, policies]``, alpha, and the level
hoped for of each policy ``[policies]``, which gives p-values ``[policies]``."""
