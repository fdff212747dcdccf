"""The order in which units are tested, and what of it was known when."""

import hashlib
from collections.abc import Collection, Iterable, Sequence

import numpy as np

from calibration.checks import IntArray
from titrate import InputError

_ORDER_KEY = b"titrate: order of testing\0"
"""Part of what is promised: with another key the same outcomes would give other certificates."""


def order_of_testing(units: Sequence[str]) -> list[int]:
    """The order in which units are tested: by SHA-256 of a constant and the unit's name.

    A betting test feels the order, so it must look random whatever the names are, and names often sort by site, class
    or number of questions. A permutation of the sorted names would put the same places first each time, and so the same
    sites: up to 0.25 false certificates at delta = 0.1. A hash scatters names that are alike. Nothing else decides
    the order, since whoever may try several and keep the best gets false certificates more often than delta.

    Parameters
    ----------
    units
        Different names, in any order.

    Returns
    -------
    The position in ``units`` of the unit that is tested first, second and so on.
    """
    keys = [hashlib.sha256(_ORDER_KEY + unit.encode("utf-8", "surrogatepass")).digest() for unit in units]
    return sorted(range(len(units)), key=lambda row: keys[row])


def rounds_of_testing(units: Sequence[str], earlier: Sequence[Collection[str]] = ()) -> tuple[list[int], IntArray]:
    """The order in which units are tested where some were tested before others were known of.

    Parameters
    ----------
    units
        Different names, in any order.
    earlier
        The units of each earlier round; names of other domains may be among them. All others are new.

    Returns
    -------
    order
        As `order_of_testing`, one round after the other.
    planned
        How many there were to be, in all, when each of them was tested, ``[units]``.
    """
    round_of = {unit: number for number, names in enumerate(earlier) for unit in names}
    rounds: list[list[int]] = [[] for _ in range(len(earlier) + 1)]
    for row in order_of_testing(units):
        rounds[round_of.get(units[row], len(earlier))].append(row)
    sizes = [len(rows) for rows in rounds]
    return [row for rows in rounds for row in rows], np.repeat(np.cumsum(sizes), sizes)


def check_earlier(earlier: Sequence[Collection[str]], units: Iterable[str], *, anytime: bool) -> None:
    """Check that earlier rounds of tests can be continued with these patients.

    Raises
    ------
    InputError
        If the tests may be looked at once only, or an earlier patient is missing or in two rounds.
    """
    if earlier and not anytime:
        raise InputError("these tests may be looked at once only; calibrate the new patients by themselves")
    before = [name for names in earlier for name in set(names)]
    if len(set(before)) < len(before):
        raise InputError("a patient is in two of the earlier rounds; give each patient once")
    missing = len(set(before) - set(units))
    if missing:
        raise InputError(f"{missing} patients of earlier rounds are missing; a calibration goes on with all of them")
