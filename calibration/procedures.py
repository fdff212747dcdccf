"""Procedures that keep the chance of any false certificate, over all policies tried, at delta."""

from collections.abc import Callable
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from calibration.checks import FloatArray, check_level


def bonferroni(p_values: FloatArray, delta: float) -> NDArray[np.bool_]:
    """Certify each policy whose p-value is at most delta over the number of policies tried.

    Valid however the p-values depend on each other.

    Parameters
    ----------
    p_values
        Of the whole family, any shape.
    delta
        The chance of one or more false certificates to allow, in (0, 1).

    Returns
    -------
    Certified or not, in the shape of ``p_values``.

    Raises
    ------
    InputError
        If delta is not in (0, 1).
    """
    return np.asarray(p_values <= check_level("delta", delta) / max(p_values.size, 1), dtype=np.bool_)


PROCEDURES: MappingProxyType[str, Callable[[FloatArray, float], NDArray[np.bool_]]] = MappingProxyType(
    {"bonferroni": bonferroni}
)
"""By the name that a certificate carries: (p-values of the family, delta) to certified or not."""
