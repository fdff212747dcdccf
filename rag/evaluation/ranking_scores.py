"""Figures of one ranking: hit@k, precision@k and nDCG@10 with binary gains (Järvelin and Kekäläinen 2002)."""

from collections.abc import Sequence
from math import comb, log2

NDCG_DEPTH = 10


def scores_of(hits: Sequence[bool], relevant: int, ks: Sequence[int]) -> tuple[float, ...]:
    """Hit@k for each k, precision@k for each k, and nDCG@10 of one ranking.

    Parameters
    ----------
    hits
        Whether each record found is relevant, best first.
    relevant
        How many relevant records there are to find, at least 1.
    ks
        Where fewer than k were found, precision still divides by k.

    >>> scores_of([False, True, True], 2, [1, 2])[:4]
    (0.0, 1.0, 0.0, 0.5)
    """
    gained = sum(_discount(rank) for rank, hit in enumerate(hits[:NDCG_DEPTH], start=1) if hit)
    ndcg = gained / sum(map(_discount, range(1, min(NDCG_DEPTH, relevant) + 1)))
    return (*(float(any(hits[:k])) for k in ks), *(sum(hits[:k]) / k for k in ks), ndcg)


def expected_scores(relevant: int, size: int, ks: Sequence[int]) -> tuple[float, ...]:
    """What `scores_of` is on average for records drawn at random, without replacement, from ``size``."""
    share, depth = relevant / size, min(NDCG_DEPTH, size)
    ideal = sum(map(_discount, range(1, min(NDCG_DEPTH, relevant) + 1)))
    hits = (1 - comb(size - relevant, min(k, size)) / comb(size, min(k, size)) for k in ks)
    precision = (share * min(k, size) / k for k in ks)
    return (*hits, *precision, share * sum(map(_discount, range(1, depth + 1))) / ideal)


def _discount(rank: int) -> float:
    return 1 / log2(rank + 1)
