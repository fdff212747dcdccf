"""p-values for H: "the mean of these independent values in [0, 1] is above alpha".

A small p-value is evidence that the risk is at most alpha. Each function takes one column per policy and tests all
columns at once; it says nothing about how many policies are tried (see `calibration.testing.procedures`), and its rows
must be independent (see `calibration.units`). Leading axes, such as simulated data sets, are tested side by side.
"""

from types import MappingProxyType
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import rel_entr
from scipy.stats import binom

from calibration.checks import FloatArray, check_level, check_unit_interval
from calibration.testing.betting import star_log_capital, wsr_log_capital
from titrate import InputError


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
    return binomial_tail(table.sum(axis=-2), table.shape[-2], alpha)


def binomial_tail(total: ArrayLike, n: int, alpha: float) -> FloatArray:
    """P(Bin(n, alpha) <= total), in the shape of ``total``."""
    return np.asarray(binom.cdf(total, n, alpha), dtype=np.float64)


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
    return hoeffding_bentkus_bound(table.sum(axis=-2), table.shape[-2], alpha)


def hoeffding_bentkus_bound(total: ArrayLike, n: int, alpha: float) -> FloatArray:
    """`hoeffding_bentkus_p_value` of n losses that add up to a total, in the shape of ``total``."""
    total = np.asarray(total, dtype=np.float64)
    risk = np.clip(total / n, 0.0, alpha)
    hoeffding = np.exp(-n * (rel_entr(risk, alpha) + rel_entr(1 - risk, 1 - alpha)))
    # Ten losses of 0.1 add up to slightly less or more than 1, so whole sums are recognised to within rounding.
    # That is safe: between whole sums Bentkus's bound interpolates, so 1e-9 changes it by about a part in 1e9.
    bentkus = np.e * binomial_tail(np.ceil(total - 1e-9), n, alpha)
    return np.asarray(np.minimum(np.minimum(hoeffding, bentkus), 1.0), dtype=np.float64)


def wsr_p_value(losses: ArrayLike, alpha: float, delta: ArrayLike, planned: ArrayLike | None = None) -> FloatArray:
    """Betting p-value p = min(1, 1 / max_t K_t), valid for graded losses and at any stopping time.

    Parameters and errors are those of `calibration.testing.betting.wsr_log_capital`, which holds the mathematics.

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
    return capital_p_value(wsr_log_capital(losses, alpha, delta, planned))


def star_p_value(losses: ArrayLike, alpha: float, delta: ArrayLike, planned: ArrayLike | None = None) -> FloatArray:
    """Betting p-value of bets that aim at ``delta``: valid as `wsr_p_value`'s is, and little less than delta at best.

    Parameters and errors are those of `calibration.testing.betting.star_log_capital`, which holds the mathematics.

    Returns
    -------
    ``[..., policies]``
    """
    return capital_p_value(star_log_capital(losses, alpha, delta, planned))


def capital_p_value(log_capital: FloatArray) -> FloatArray:
    """P = min(1, 1 / max_t K_t) ``[..., policies]``, given log K_t ``[..., units, policies]`` (Ville's inequality)."""
    return np.asarray(np.exp(-np.maximum(log_capital.max(axis=-2), 0.0)), dtype=np.float64)


class PValue(Protocol):
    """A test of single policies: values ``[units, policies]`` to p-values ``[policies]``.

    Given are alpha, the level hoped for of each policy ``[policies]``, and, where not all units were planned for from
    the start, how many were: see `calibration.testing.betting.wsr_log_capital`.
    """

    def __call__(
        self, losses: FloatArray, alpha: float, delta: FloatArray, planned: ArrayLike | None = None, /
    ) -> FloatArray:
        """Return the p-values."""
        ...


P_VALUES: MappingProxyType[str, PValue] = MappingProxyType(
    {
        "star": star_p_value,
        "wsr": wsr_p_value,
        "hoeffding-bentkus": lambda losses, alpha, delta, planned=None: hoeffding_bentkus_p_value(losses, alpha),
        "binomial": lambda losses, alpha, delta, planned=None: binomial_p_value(losses, alpha),
    }
)
"""Each p-value by the name that a certificate carries."""

ANYTIME = ("star", "wsr")
"""The p-values that may be looked at again after more units."""
