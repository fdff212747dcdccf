"""From questions to independent units.

Questions about one patient share images, history and errors. Tested as if they were independent they break the
guarantee (0.12 to 0.17 false certificates at delta = 0.1, five questions an image), so their losses are averaged first.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from calibration.checks import FloatArray, check_same_length, check_unit_interval


def mean_per_unit(losses: ArrayLike, units: Sequence[str]) -> tuple[FloatArray, list[str]]:
    """Average the losses of each unit, so that every patient counts once however many questions were asked.

    Parameters
    ----------
    losses
        In [0, 1], ``[questions, policies]``.
    units
        The patient (or study) of each question.

    Returns
    -------
    values
        ``[units, policies]``
    names
        The units in sorted order, one per row of ``values``, whatever the order of the questions.

    Raises
    ------
    InputError
        If a loss is outside [0, 1] or NaN, the table is empty, or there is not one unit per question.
    """
    table = check_unit_interval("losses", losses)
    check_same_length(len(table), units=units)
    names = sorted(set(units))
    position = {name: row for row, name in enumerate(names)}
    rows = np.array([position[unit] for unit in units])
    order = np.argsort(rows, kind="stable")
    sizes = np.bincount(rows)
    sums = np.add.reduceat(table[order], np.cumsum(sizes) - sizes, axis=0)
    return sums / sizes[:, None], names
