"""Reciprocal-rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009): several rankings become one."""

from collections.abc import Hashable, Sequence
from math import fsum
from typing import TypeVar

from rag.retrieval.modes import RANK_CONSTANT

T = TypeVar("T", bound=Hashable)


def fuse_ranks(rankings: Sequence[Sequence[T]]) -> list[T]:
    """Order things by the sum of 1 / (60 + rank) over the rankings that hold them, ranks from 1.

    Parameters
    ----------
    rankings
        Each best first, nothing twice in one.

    Returns
    -------
    list
        Everything that any ranking holds, best first; equal scores by the best rank, then by the earlier ranking.

    >>> fuse_ranks([["a", "b", "c"], ["c", "b"]])
    ['c', 'b', 'a']
    """
    terms: dict[T, list[float]] = {}
    best: dict[T, tuple[int, int]] = {}
    for place, ranking in enumerate(rankings):
        for rank, thing in enumerate(ranking, start=1):
            terms.setdefault(thing, []).append(1 / (RANK_CONSTANT + rank))
            best[thing] = min(best.get(thing, (rank, place)), (rank, place))
    # Rounded once, so that the same ranks in another order of lists are a tie and not a difference of rounding.
    return sorted(terms, key=lambda thing: (-fsum(terms[thing]), best[thing]))
