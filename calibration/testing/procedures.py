"""Procedures that keep the chance of any false certificate, over all policies tried, at delta.

All are valid however the p-values depend on each other, as those of one table always do.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from calibration.checks import BoolArray, FloatArray, check_level
from calibration.testing.betting import closed_wealth
from titrate import InputError

PROCEDURES = ("closed-e", "sgt", "holm", "bonferroni")
"""The names that a certificate may carry."""


def bonferroni(p_values: FloatArray, delta: float) -> BoolArray:
    """Certify each policy whose p-value is at most delta over the number of policies tried.

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


def holm(p_values: FloatArray, delta: float) -> BoolArray:
    """Certify, from the smallest p-value up, while the j-th smallest of m is at most delta / (m + 1 - j) (Holm 1979).

    Parameters, result and errors are those of `bonferroni`, of which it certifies all and often more.
    """
    delta, flat = check_level("delta", delta), p_values.ravel()
    order = np.argsort(flat, kind="stable")
    passed = np.logical_and.accumulate(flat[order] <= delta / np.arange(flat.size, 0, -1))
    certified = np.zeros(flat.size, dtype=np.bool_)
    certified[order[passed]] = True
    return certified.reshape(p_values.shape)


def sequential_graphical(p_values: FloatArray, delta: float, weights: ArrayLike, transitions: ArrayLike) -> BoolArray:
    """Sequential graphical testing (Bretz, Maurer, Brannath & Posch 2009, Statistics in Medicine 28, algorithm 1).

    Policy j is certified when p_j <= w_j delta. It then leaves the graph, hands its weight on, and its neighbours are
    joined: w_l += w_j g_jl and g_lk = (g_lk + g_lj g_jk) / (1 - g_lj g_jl) for l != k, or 0 where g_lj g_jl = 1. This
    is a shortcut of a closed test, so what is certified does not depend on the order, which is by p_j / w_j.

    Parameters
    ----------
    p_values
        Of the whole family, any shape, m in all.
    delta
        The chance of one or more false certificates to allow, in (0, 1).
    weights
        Shares of delta, in the shape of ``p_values``, 0 or more, adding up to at most 1. Chosen without the data.
    transitions
        g ``[m, m]``: the share of j's weight that goes to l when j is certified. Rows add up to at most 1, the diagonal
        is 0.

    Returns
    -------
    Certified or not, in the shape of ``p_values``.

    Raises
    ------
    InputError
        If delta is not in (0, 1), or weights or transitions are none.

    Examples
    --------
    The second is certified with what the first hands on:

    >>> sequential_graphical(np.array([0.04, 0.09]), 0.1, [0.5, 0.5], [[0, 1], [1, 0]]).tolist()
    [True, True]
    """
    delta, flat = check_level("delta", delta), np.asarray(p_values, dtype=np.float64).ravel()
    shares = np.array(weights, dtype=np.float64).ravel()
    graph = np.array(transitions, dtype=np.float64)
    if shares.shape != flat.shape or not (bool(np.all(shares >= 0)) and shares.sum() <= 1 + 1e-9):
        raise InputError("weights must be one per p-value, 0 or more, and add up to at most 1")
    if graph.shape != (flat.size, flat.size) or bool(np.diagonal(graph).any()):
        raise InputError("transitions must be a square table, one row per p-value, with zeros on its diagonal")
    if not (bool(np.all(graph >= 0)) and bool(np.all(graph.sum(axis=1) <= 1 + 1e-9))):
        raise InputError("transitions must be 0 or more, and each row must add up to at most 1")
    certified = np.zeros(flat.size, dtype=np.bool_)
    while True:
        open_ = ~certified & (flat <= shares * delta) & (shares > 0)
        if not open_.any():
            return certified.reshape(p_values.shape)
        candidates = np.flatnonzero(open_)
        j = int(candidates[np.argmin(flat[candidates] / shares[candidates])])
        certified[j] = True
        out = graph[j].copy()
        shares += shares[j] * out
        shares[j] = 0.0
        pointing = np.flatnonzero(graph[:, j])  # nothing changes for the others, and these are few
        into = graph[pointing, j]
        back = (1 - into * out[pointing])[:, None]
        joined = graph[pointing] + into[:, None] * out
        graph[pointing] = np.divide(joined, back, out=np.zeros_like(joined), where=back > 1e-12)
        graph[pointing, pointing] = 0.0
        graph[:, j], graph[j] = 0.0, 0.0


def certify_by_p_values(
    procedure: str, p_values: FloatArray, delta: float, weights: FloatArray, transitions: Callable[[], FloatArray]
) -> BoolArray:
    """Certify by one of `PROCEDURES`, but for ``"closed-e"``.

    Parameters
    ----------
    procedure
        Its name.
    p_values, delta, weights
        As for `sequential_graphical`; the others take no weights.
    transitions
        Returns those of `sequential_graphical`, which the others do without.
    """
    if procedure == "bonferroni":
        return bonferroni(p_values, delta)
    if procedure == "holm":
        return holm(p_values, delta)
    return sequential_graphical(p_values, delta, weights, transitions())


def closed_betting(log_capitals: Sequence[FloatArray], delta: float, weights: FloatArray) -> BoolArray:
    """Closed testing with averaged capital: policies that are all good win together (after arXiv 2501.09015).

    Take any set S of policies, with shares w(S). While the risk of all of them is above alpha, the capital that they
    hold in one domain, sum_{i in S} w_i K_i over the domain's policies, is a supermartingale, so by Ville's inequality
    it ever comes to w(S) / delta with a chance of at most delta times the domain's part of w(S); and with at most
    delta, in any of the domains, however those depend on each other. So S as a whole may be rejected when it comes
    there. A policy is certified when all sets that hold it are rejected (closed testing, Marcus, Peritz & Gabriel
    1976), and that takes no search: the set that is hardest to reject takes in whoever holds less than 1/delta and
    everybody of the other domains, but for those that are certified already, for no set that holds one of those is
    left. With G = 1/delta, policy j is certified as soon as

        w_j K_j + sum of w_i min(K_i, G) over the others of its domain that are not certified yet
            >= G times the shares of all policies, of all domains, that are not certified yet.

    Parameters
    ----------
    log_capitals
        log K of each domain, ``[units, policies]``, of bets that look back only.
    delta
        The chance of one or more false certificates to allow, in (0, 1).
    weights
        Shares of delta, ``[domains, policies]``, above 0, adding up to 1. Chosen without the data.

    Returns
    -------
    Certified or not, ``[domains, policies]``.

    Raises
    ------
    InputError
        If delta is not in (0, 1), or the weights are none.

    Examples
    --------
    Two policies that have each come to 10 only, which neither p-value alone would do at delta / 2:

    >>> closed_betting([np.log([[5.0, 6.0], [10.0, 10.0]])], 0.1, np.array([[0.5, 0.5]])).tolist()
    [[True, True]]
    """
    return closed_betting_moments(log_capitals, delta, weights)[0]


def closed_betting_moments(
    log_capitals: Sequence[FloatArray], delta: float, weights: FloatArray, slack: float = 0.0
) -> tuple[BoolArray, list[list[int]]]:
    """`closed_betting`, and the few moments in each domain that it rests on.

    Parameters
    ----------
    log_capitals, delta, weights
        As for `closed_betting`; a domain may have no moment at all.
    slack
        By how much less than needed is enough, as a share of it: for the same sums done by another machine.

    Returns
    -------
    certified
        ``[domains, policies]``
    moments
        Of each domain, rows of its capitals, rising: those alone certify the same.

    Raises
    ------
    InputError
        As `closed_betting`.
    """
    log_goal = -np.log(check_level("delta", delta))
    if not (bool(np.all(weights > 0)) and abs(weights.sum() - 1) <= 1e-9):
        raise InputError("weights must be one per policy, above 0, and add up to 1")
    certified = np.zeros(weights.shape, dtype=np.bool_)
    moments: list[set[int]] = [set() for _ in log_capitals]
    found = True
    while found:
        found = False
        for row, capital in enumerate(log_capitals):
            left = np.flatnonzero(~certified[row])
            wealth = closed_wealth(capital[:, left], log_goal, weights[row, left])
            needed = np.exp(log_goal) * (1 - weights[certified].sum()) * (1 - slack)
            enough = wealth >= needed
            passed = enough.any(axis=0)
            certified[row, left[passed]] = True
            while passed.any():  # the moment that does for most of them, and again for the rest
                moment = int(enough[:, passed].sum(axis=1).argmax())
                moments[row].add(moment)
                passed &= ~enough[moment]
                found = True
    return certified, [sorted(rows) for rows in moments]


def neighbour_transitions(pairs: ArrayLike, groups: int, size: int) -> FloatArray:
    """Transitions ``[groups * size, groups * size]`` to neighbours, in equal shares.

    The neighbours of a policy are those one step away in its own group, and the same policy in every other group: what
    one domain has won helps the next.

    Parameters
    ----------
    pairs
        Neighbours within a group, positions ``[pairs, 2]``, each pair once.
    groups, size
        How many groups (domains) there are, and policies in each.
    """
    inside = np.zeros((size, size))
    for first, second in np.asarray(pairs, dtype=np.int64).reshape(-1, 2):
        inside[first, second] = inside[second, first] = 1.0
    graph = np.kron(np.eye(groups), inside) + np.kron(1.0 - np.eye(groups), np.eye(size))
    degrees = graph.sum(axis=1, keepdims=True)
    return np.asarray(graph / np.maximum(degrees, 1.0), dtype=np.float64)
