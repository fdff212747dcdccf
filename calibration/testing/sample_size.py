"""How many patients, about, would have been enough for a certificate."""

from collections.abc import Callable

import numpy as np

from calibration.checks import FloatArray

_MOST_UNITS = 1_000_000


def units_needed(values: FloatArray, test: Callable[[FloatArray], FloatArray], level: float) -> int | None:
    """Estimate how many units like these would give a small enough p-value.

    The data are repeated up to n units and tested; n is found by doubling, then by bisection to one per cent. This is a
    rough guide: it takes the measured risk for the true one, although the policy was picked as the best of several, and
    a p-value need not fall with every unit that is added.

    Parameters
    ----------
    values
        What was tested of each unit, ``[units, 1]``.
    test
        Gives the p-values ``[1]`` of such values.
    level
        The largest p-value that is enough.

    Returns
    -------
    The number of units, those given included; None if a million would not be enough.
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
