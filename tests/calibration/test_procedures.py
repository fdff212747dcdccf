"""Bonferroni, Holm and sequential graphical testing, by hand and against others' code."""

import itertools

import numpy as np
import pytest
from mapie.risk_control import control_fwer

from calibration import PolicyGrid, bonferroni, holm, neighbour_transitions, sequential_graphical
from calibration.checks import FloatArray
from titrate import InputError

LINE = neighbour_transitions(PolicyGrid(2).neighbours, 1, 3)


def everyone(m: int) -> FloatArray:
    return (np.ones((m, m)) - np.eye(m)) / max(m - 1, 1)


def test_bonferroni_counts_the_whole_family() -> None:
    p_values = np.array([[0.025, 0.0251], [1.0, 0.0]])
    assert bonferroni(p_values, 0.1).tolist() == [[True, False], [False, True]]
    with pytest.raises(InputError, match="delta"):
        bonferroni(p_values, 1.0)


def test_holm_by_hand() -> None:
    # 0.02 <= 0.1 / 4, 0.03 <= 0.1 / 3, 0.051 > 0.1 / 2: the last, though at most 0.1, is not reached.
    assert holm(np.array([[0.06, 0.03], [0.02, 0.051]]), 0.1).tolist() == [[False, True], [True, False]]
    assert holm(np.array([0.1, 0.05]), 0.1).tolist() == [True, True]
    assert holm(np.array([0.02, 0.02]), 0.01).tolist() == [False, False]
    with pytest.raises(InputError, match="delta"):
        holm(np.array([0.1]), 0.0)


def test_sgt_by_hand() -> None:
    # Of a line 0 - 1 - 2 the middle hands half of its third to each: 1/2 each, then the last gets all.
    third = np.full(3, 1 / 3)
    assert LINE.tolist() == [[0, 1, 0], [0.5, 0, 0.5], [0, 1, 0]]
    assert sequential_graphical(np.array([0.049, 0.033, 0.1]), 0.1, third, LINE).tolist() == [True] * 3
    assert sequential_graphical(np.array([0.051, 0.033, 0.051]), 0.1, third, LINE).tolist() == [False, True, False]
    # 0 gives its third to 1, which has 2/3 then; 1 gives back to 2 all of it, since 0 is gone.
    assert sequential_graphical(np.array([0.033, 0.066, 0.1]), 0.1, third, LINE).tolist() == [True] * 3
    assert sequential_graphical(np.array([0.033, 0.067, 0.1]), 0.1, third, LINE).tolist() == [True, False, False]


def test_sgt_graph_update_by_hand() -> None:
    # Bretz et al. 2009: w_2 += w_1 g_12, and g_23 = (g_23 + g_21 g_13) / (1 - g_21 g_12), likewise g_32.
    graph = np.array([[0.0, 0.6, 0.4], [0.5, 0.0, 0.5], [0.2, 0.8, 0.0]])
    weights = np.array([0.5, 0.3, 0.2])
    # Without 1: w = (0.3 + 0.3, 0.2 + 0.2), g_23 = (0.5 + 0.5 0.4) / (1 - 0.5 0.6) = 1, g_32 = 0.92 / 0.92 = 1.
    assert sequential_graphical(np.array([0.05, 0.061, 0.1]), 0.1, weights, graph).tolist() == [True, False, False]
    assert sequential_graphical(np.array([0.05, 0.06, 0.1]), 0.1, weights, graph).tolist() == [True, True, True]


def test_sgt_with_weights_on_one_policy_is_a_fixed_sequence_from_it() -> None:
    start = np.array([0.0, 1.0, 0.0])
    assert sequential_graphical(np.array([0.01, 0.2, 0.01]), 0.1, start, LINE).tolist() == [False] * 3
    assert sequential_graphical(np.array([0.05, 0.1, 0.2]), 0.1, start, LINE).tolist() == [True, True, False]


def test_sgt_loses_what_nobody_gets() -> None:
    none = np.zeros((2, 2))
    assert sequential_graphical(np.array([0.05, 0.06]), 0.1, [0.5, 0.5], none).tolist() == [True, False]


def test_sgt_where_everyone_is_a_neighbour_is_holm() -> None:
    rng = np.random.default_rng(0)
    for m in (1, 2, 5, 9):
        for _ in range(200):
            p_values = rng.beta(0.3, 3, m)
            found = sequential_graphical(p_values, 0.1, np.full(m, 1 / m), everyone(m))
            assert np.array_equal(found, holm(p_values, 0.1))


def test_sgt_is_the_shortcut_of_a_closed_test() -> None:
    """A policy is certified just where every set that holds it is rejected, with the weights of Bretz et al."""

    def weights_within(kept: tuple[int, ...], weights: FloatArray, graph: FloatArray) -> dict[int, float]:
        shares, g, left = weights.copy(), graph.copy(), list(range(len(weights)))
        for j in set(left) - set(kept):
            left.remove(j)
            for i in left:
                shares[i] += shares[j] * g[j, i]
            new = g.copy()
            for i, k in itertools.permutations(left, 2):
                loop = g[i, j] * g[j, i]
                new[i, k] = (g[i, k] + g[i, j] * g[j, k]) / (1 - loop) if loop < 1 - 1e-12 else 0.0
            g = new
        return {i: shares[i] for i in left}

    rng = np.random.default_rng(1)
    for _ in range(60):
        m = 4
        graph = rng.random((m, m)) * (1 - np.eye(m))
        graph /= graph.sum(axis=1, keepdims=True) * rng.choice([1.0, 1.5])
        weights, p_values = rng.dirichlet(np.ones(m)), rng.beta(0.2, 3, m)
        sets = [kept for size in range(1, m + 1) for kept in itertools.combinations(range(m), size)]
        passed = {
            kept: any(p_values[i] <= share * 0.1 for i, share in weights_within(kept, weights, graph).items())
            for kept in sets
        }
        closed = [all(passed[kept] for kept in sets if i in kept) for i in range(m)]
        assert sequential_graphical(p_values, 0.1, weights, graph).tolist() == closed


def test_smaller_p_values_never_certify_less() -> None:
    """What makes a look at any time valid: see `calibration.sequential`."""
    rng = np.random.default_rng(2)
    weights, graph = rng.dirichlet(np.ones(6)), neighbour_transitions(PolicyGrid(2).neighbours, 2, 3)
    for _ in range(300):
        late = rng.beta(0.3, 3, 6)
        early = np.minimum(1.0, late + rng.random(6) * rng.integers(0, 2, 6) / 10)
        first = sequential_graphical(early, 0.1, weights, graph)
        assert np.all(first <= sequential_graphical(late, 0.1, weights, graph))
        assert np.all(holm(early, 0.1) <= holm(late, 0.1))


def test_uniform_sgt_certifies_whatever_bonferroni_does() -> None:
    rng = np.random.default_rng(3)
    more = 0
    for _ in range(300):
        p_values = rng.beta(0.2, 3, (2, 3))
        graph = neighbour_transitions(PolicyGrid(2).neighbours, 2, 3)
        found = sequential_graphical(p_values, 0.1, np.full((2, 3), 1 / 6), graph)
        assert np.all(bonferroni(p_values, 0.1) <= found)
        more += int(found.sum() > bonferroni(p_values, 0.1).sum())
    assert more > 30


@pytest.mark.parametrize(("function", "name"), [(bonferroni, "bonferroni"), (holm, "bonferroni_holm")])
def test_agrees_with_mapie(function: object, name: str) -> None:
    assert callable(function)
    rng = np.random.default_rng(4)
    for _ in range(100):
        p_values = rng.beta(0.2, 3, int(rng.integers(1, 12)))
        assert np.flatnonzero(function(p_values, 0.1)).tolist() == control_fwer(p_values, 0.1, name).tolist()


def test_neighbours_over_domains() -> None:
    graph = neighbour_transitions(PolicyGrid(2).neighbours, 3, 3)
    assert graph.sum(axis=1) == pytest.approx(np.ones(9))
    assert np.flatnonzero(graph[0]).tolist() == [1, 3, 6]  # one step in k, and the same k of two other domains
    assert graph[4, [3, 5, 1, 7]].tolist() == [0.25] * 4


@pytest.mark.parametrize(
    ("weights", "graph", "message"),
    [
        ([0.6, 0.6], everyone(2), "weights must be"),
        ([-0.1, 0.6], everyone(2), "weights must be"),
        ([float("nan"), 0.6], everyone(2), "weights must be"),
        ([0.5], everyone(2), "weights must be"),
        ([0.5, 0.5], everyone(3), "square table"),
        ([0.5, 0.5], [[0.5, 0.5], [1, 0]], "zeros on its diagonal"),
        ([0.5, 0.5], [[0, 1.1], [1, 0]], "each row must add up"),
        ([0.5, 0.5], [[0, -1], [1, 0]], "each row must add up"),
    ],
)
def test_graphs_that_are_refused(weights: list[float], graph: FloatArray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        sequential_graphical(np.array([0.1, 0.2]), 0.1, weights, graph)
