"""How many patients would be enough for a certificate, with a chance that is stated."""

import numpy as np

from calibration.checks import BoolArray, FloatArray, IntArray
from calibration.testing.family import HypothesisFamily
from calibration.testing.procedures import closed_betting
from calibration.testing.pvalues import ANYTIME

CHANCE = 0.8
"""The chance of a certificate that the number is for."""

_DRAWS = 100
_MOST_UNITS = 10_000
_NUMBERS_AT_ONCE = 4_000_000


def further_units(family: HypothesisFamily, domain: int, values: FloatArray, planned: IntArray) -> int | None:
    """Find how many more units a domain needs for a chance of four in five that something is certified.

    Further units are drawn from those at hand, with replacement, 100 times, and tested; the number is found by doubling
    and then by bisection to a tenth. Tests that may be looked at again go on where they stand; those that may not
    start anew, with the new units alone. The units at hand are taken for the truth, though what looks best among
    several policies often looks better than it is: a guide, no promise.

    Parameters
    ----------
    family
        The tests; nothing is taken to be certified in other domains.
    domain
        Number of the domain in the family.
    values, planned
        As for `HypothesisFamily.test`, of this domain, ``[units, policies]`` and ``[units]``.

    Returns
    -------
    How many, besides those at hand; None if ten thousand would not be enough.
    """
    goes_on = family.p_value in ANYTIME
    start = values if goes_on else values[:0]

    def chance(further: int) -> float:
        rng, found = np.random.default_rng(0), 0
        units = len(start) + further
        plan = np.full(units, max(units, planned[-1]) if goes_on else units)
        plan[: len(start)] = planned[: len(start)]
        step = max(1, _NUMBERS_AT_ONCE // (units * values.shape[1]))
        for first in range(0, _DRAWS, step):
            drawn = values[rng.integers(len(values), size=(min(step, _DRAWS - first), further))]
            before = np.broadcast_to(start, (len(drawn), *start.shape))
            found += int(_certified(family, domain, np.concatenate([before, drawn], axis=1), plan).sum())
        return found / _DRAWS

    # About where the best policy alone has an even chance: half of its 2 log(1/p) variance / margin^2.
    margin = family.alpha - values.mean(axis=0)
    wanted = -np.log(family.prior.weights[domain] * family.delta) * values.var(axis=0)
    guess = float(np.min(np.divide(wanted, margin**2, out=np.full_like(margin, np.inf), where=margin > 0)))
    if guess > _MOST_UNITS:
        return None
    low, high = 0, max(8, int(guess))
    while chance(high) < CHANCE:
        if high >= _MOST_UNITS:
            return None
        low, high = high, min(2 * high, _MOST_UNITS)
    while high - low > max(1, high // 10):
        middle = (low + high) // 2
        low, high = (low, middle) if chance(middle) >= CHANCE else (middle, high)
    return high


def _certified(family: HypothesisFamily, domain: int, values: FloatArray, plan: IntArray) -> BoolArray:
    """Whether anything is certified in one domain, nothing being so in the others, ``[draws]``."""
    weights = family.prior.weights
    if family.procedure == "closed-e":
        nothing = np.zeros((1, weights.shape[1]))
        capitals = [nothing for _ in weights]
        found = []
        for capital in family.log_capital(domain, values, plan):
            capitals[domain] = capital
            found.append(closed_betting(capitals, family.delta, weights)[domain].any())
        return np.array(found)
    p_values = np.ones((len(values), *weights.shape))
    p_values[:, domain] = family.p_values(domain, values, plan)
    return np.array([family.certify(table)[domain].any() for table in p_values])
