"""Averaging per patient, how many contexts a policy keeps, and when it answers."""

import hashlib

import numpy as np
import pytest

from calibration import Policy, mean_per_unit, order_of_testing
from titrate import InputError

SIMILARITIES = [30.0, 25.0, 10.0, 5.0, -1.0, -20.0]


def test_every_patient_counts_once() -> None:
    losses = np.array([[1, 0], [0, 0], [1, 0.5], [0, 1]])
    values, names = mean_per_unit(losses, ["p2", "p1", "p2", "p2"])
    assert names == ["p1", "p2"]
    assert values == pytest.approx(np.array([[0, 0], [2 / 3, 0.5]]))
    assert values[1].mean() != pytest.approx(losses[:, 0].mean())


def test_the_order_of_questions_does_not_matter() -> None:
    losses, units = np.random.default_rng(7).random((20, 3)), [f"p{i % 6}" for i in range(20)]
    order = np.random.default_rng(8).permutation(20)
    first, names = mean_per_unit(losses, units)
    second, again = mean_per_unit(losses[order], [units[i] for i in order])
    assert names == again
    assert first == pytest.approx(second, rel=1e-12)


def test_averages_of_the_worst_stay_in_the_unit_interval() -> None:
    values, _ = mean_per_unit(np.ones((7, 1)), ["p"] * 7)
    assert values.tolist() == [[1.0]]
    values, _ = mean_per_unit(np.full((1001, 1), np.nextafter(1, 0)), ["p"] * 1001)
    assert values.max() <= 1


def test_units_must_fit_the_losses() -> None:
    with pytest.raises(InputError, match="3 units for 2 rows"):
        mean_per_unit(np.zeros((2, 1)), ["a", "b", "c"])
    with pytest.raises(InputError, match="empty"):
        mean_per_unit(np.empty((0, 2)), [])


@pytest.mark.parametrize(("k", "expected"), [(0, 0), (2, 2), (6, 6), (9, 6)])
def test_fixed_k(k: int, expected: int) -> None:
    assert Policy(k).count(SIMILARITIES) == expected
    assert Policy(k).count([]) == 0


@pytest.mark.parametrize(
    ("gamma", "max_k", "expected"),
    [
        (4, 8, 1),  # the first fall is 5
        (5, 8, 2),  # not above 5; the second fall is 15
        (15, 8, 5),  # 15, 5 and 6 are not above 15; the last, 19, is: negative similarities are no special case
        (19, 8, 6),  # no fall is steep enough
        (19, 3, 3),
        (5, 0, 0),
    ],
)
def test_ratio_cut(gamma: float, max_k: int, expected: int) -> None:
    assert Policy(max_k, gamma).count(SIMILARITIES) == expected
    assert Policy(max_k, gamma).count(np.array(SIMILARITIES)) == expected


def test_ratio_cut_of_few_contexts() -> None:
    assert Policy(5, 1).count([]) == 0
    assert Policy(5, 1).count([-3.0]) == 1
    assert Policy(5, 0).count([2.0, 2.0, 1.0]) == 2


@pytest.mark.parametrize("similarities", [[1.0, 2.0], [2.0, float("nan")], [float("inf"), 1.0]])
def test_ratio_cut_refuses_what_is_not_best_first(similarities: list[float]) -> None:
    with pytest.raises(InputError, match="best first"):
        Policy(5, 1).count(similarities)


def test_policies_out_of_range() -> None:
    with pytest.raises(InputError, match="k is -1"):
        Policy(-1)
    with pytest.raises(InputError, match="gamma"):
        Policy(3, float("nan"))
    with pytest.raises(InputError, match="k is -3"):
        Policy(-3, 1)
    with pytest.raises(InputError, match=r"tau is 1\.1"):
        Policy(1, tau=1.1)


def test_answers() -> None:
    assert Policy(1).answers(0.0)
    assert Policy(1, tau=0.8).answers(0.8)
    assert not Policy(1, tau=0.8).answers(0.79)


def test_the_order_of_testing_is_that_of_a_keyed_hash() -> None:
    names = ["p1", "p2", "Zoë", "p3"]
    digests = [hashlib.sha256(b"titrate: order of testing\0" + name.encode()).hexdigest() for name in names]
    expected = [names[row] for row in sorted(range(4), key=lambda row: digests[row])]
    assert [names[row] for row in order_of_testing(names)] == expected
    assert [names[::-1][row] for row in order_of_testing(names[::-1])] == expected
    assert order_of_testing([]) == []
