"""About how many units a certificate would have taken."""

from collections.abc import Callable

import numpy as np

from calibration.checks import FloatArray

_MOST_UNITS = 1_000_000


def units_needed(values: FloatArray, test: Callable[[FloatArray], FloatArray], level: float) -> int | None:
    """About how many units like these ``[units, 1]`` would give a p-value of at most ``level``, at most a million.

    The data are repeated to length n and tested, with n found by doubling and then bisection to one per cent. Rough:
    it takes the measured risk, the least of several, for the true one, and the p-value need not fall at every step.
    """

    def enough(n: int) -> bool:
        return bool(test(np.resize(values, (n, 1)))[0] <= level)

    low, high = len(values), 2 * len(values)
    while not enough(high):
        if high >= _MOST_UNITS:
            return None
        low, high = high, min(2 * high, _MOST_UNITS)
    while high - low > max(1, high // 100):
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
