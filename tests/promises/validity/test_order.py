"""The order of testing must not be told by the ids of patients, whatever these sort by."""

import math

import numpy as np
import pytest

from benchmarks.validity import DELTA, ORDERED, false_rate
from benchmarks.worlds import ALPHA, WORLDS, ordered_losses, permuted_sorted_ids, sorted_ids
from calibration import FINGERPRINTS, OutcomeTable, SequentialCertifier, certify, order_of_testing

RUNS, PATIENTS = 600, (40, 80)
BOUND = DELTA + 3 * math.sqrt(DELTA * (1 - DELTA) / RUNS)


@pytest.mark.slow
@pytest.mark.parametrize("p_value", ORDERED)
@pytest.mark.parametrize("name", WORLDS)
def test_ids_that_sort_by_what_matters_do_not_certify_too_often(name: str, p_value: str) -> None:
    for patients in PATIENTS:
        assert false_rate(p_value, ordered_losses(WORLDS[name], order_of_testing, patients, RUNS, 0)) <= BOUND
        told = ordered_losses(WORLDS[name], sorted_ids, patients, RUNS, 0)
        assert false_rate(p_value, told) > 2 * BOUND, "so that this test can fail"


@pytest.mark.slow
def test_a_permutation_of_sorted_ids_is_not_random() -> None:
    """What was done before: for 80 patients always the same places, of which the first hold the easier hospital."""
    assert false_rate("wsr", ordered_losses(WORLDS["by source"], permuted_sorted_ids, 80, RUNS, 0)) > 1.5 * BOUND


@pytest.mark.slow
@pytest.mark.parametrize("name", WORLDS)
def test_both_ways_to_certify_test_in_that_order(name: str) -> None:
    """Through the doors that users take: the patients of each run, sorted by id, as a file would hold them."""
    rng, runs = np.random.default_rng(1), 200
    wrong = {"certify": 0, "sequential": 0}
    for _ in range(runs):
        units, drawn = WORLDS[name](60, rng)
        rows = sorted_ids(units)
        losses = drawn[rows, None]
        table = OutcomeTable(
            question_ids=[f"q{row:03}" for row in range(60)],
            units=[units[row] for row in rows],
            domains=["x"] * 60,
            losses=losses,
            confidences=np.ones_like(losses),
            answers=[[""]] * 60,
        )
        prints = dict.fromkeys(FINGERPRINTS, "1")
        wrong["certify"] += bool(certify(table, alpha=ALPHA, delta=DELTA, fingerprints=prints).certified_domains)
        certifier = SequentialCertifier(
            table.question_ids, table.units, table.domains, max_k=0, alpha=ALPHA, delta=DELTA
        )
        while asked := certifier.next(10):
            certifier.add(table.take([int(question[1:]) for question in asked]))
        wrong["sequential"] += bool(certifier.certified["x"])
    assert all(times / runs <= DELTA + 3 * math.sqrt(DELTA * (1 - DELTA) / runs) for times in wrong.values()), wrong
