"""Checks that every entry point of the package shares."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from titrate import InputError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


_LEAST_LEVEL = 1e-300
"""The inverse of less is infinite."""


def check_level(name: str, value: float) -> float:
    """Return a risk or error level strictly between 0 and 1.

    Raises
    ------
    InputError
        If it is not: at 0 nothing could ever be certified, at 1 everything would be.
    """
    if not _LEAST_LEVEL <= value < 1:
        raise InputError(f"{name} is {value}; give a number strictly between 0 and 1")
    return float(value)


def check_spent(spent: float, delta: float) -> float:
    """Return what earlier looks at the same patients have used up of delta, where some is left.

    Raises
    ------
    InputError
        If nothing is left.
    """
    if not 0 <= spent < delta:
        raise InputError(f"of delta = {delta:g}, {spent:g} is spent on these patients already; give more than that")
    return float(spent)


def check_unit_interval(name: str, values: ArrayLike, *, stacked: bool = False) -> FloatArray:
    """Return a non-empty table ``[rows, columns]`` of numbers in [0, 1] as float64.

    Parameters
    ----------
    name
        For the message.
    values
        The table.
    stacked
        Allow many tables of one shape, ``[..., rows, columns]``.

    Raises
    ------
    InputError
        If it has another shape, is empty, or holds a number outside [0, 1] or NaN.
    """
    try:
        table = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} are not a table of numbers; give every question one per k = 0..K") from error
    if table.ndim < 2 or (table.ndim > 2 and not stacked):
        raise InputError(f"{name} have {table.ndim} dimensions; give a table [rows, columns]")
    if table.size == 0:
        raise InputError(f"{name} are empty; give at least one row and one column")
    if not bool(np.all((table >= 0) & (table <= 1))):  # NaN fails both comparisons
        raise InputError(f"{name} must lie in [0, 1], without NaN; rescale them")
    return table


def check_same_length(rows: int, **columns: Sequence[object]) -> None:
    """Check that each named column has one entry per row.

    Raises
    ------
    InputError
        Naming the first column that has not.
    """
    for name, column in columns.items():
        if len(column) != rows:
            raise InputError(f"{len(column)} {name} for {rows} rows; give one for each row")
