"""Two-parameter and selective policies read off one table."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import calibration
from calibration import OutcomeTable, Policy, PolicyGrid, certify
from calibration.checks import FloatArray
from tests.results import numbers_certified
from titrate import InputError

Outcomes = Callable[..., OutcomeTable]
FINGERPRINTS = dict.fromkeys(calibration.FINGERPRINTS, "1")


def test_policies_and_their_order() -> None:
    assert PolicyGrid(2).policies == (Policy(0), Policy(1), Policy(2))
    assert PolicyGrid(3, gammas=(0.5, 1.0), taus=(0.8,)).policies == tuple(
        Policy(k, gamma, tau)
        for tau in (0.0, 0.8)
        for k, gamma in [
            (0, math.inf),
            (1, math.inf),
            (2, math.inf),
            (3, math.inf),
            (2, 1.0),
            (3, 1.0),
            (2, 0.5),
            (3, 0.5),
        ]
    )
    assert PolicyGrid(0, (1,), (0.5,)).policies == (Policy(0), Policy(0, tau=0.5))
    assert PolicyGrid(3, (2, 1)) == PolicyGrid(3, (1.0, 2.0))
    large = PolicyGrid(10, (0.25, 0.5, 1, 2), (0.5, 0.6, 0.7, 0.8, 0.9))
    assert len(large.policies) == large.size == (11 + 4 * 9) * 6
    assert [PolicyGrid(k, (1,), (0.5,)).size for k in range(3)] == [2, 4, 8]


def test_neighbours_are_one_step_apart() -> None:
    grid = PolicyGrid(3, gammas=(0.5, 1.0), taus=(0.8,))
    named = {frozenset(pair) for pair in ((grid.policies[a], grid.policies[b]) for a, b in grid.neighbours)}
    assert len(named) == len(grid.neighbours)
    assert {next(iter(pair - {Policy(2, 1.0)})) for pair in named if Policy(2, 1.0) in pair} == {
        Policy(1),  # with one context no cut is left
        Policy(3, 1.0),
        Policy(2),
        Policy(2, 0.5),
        Policy(2, 1.0, 0.8),
    }
    assert {next(iter(pair - {Policy(0)})) for pair in named if Policy(0) in pair} == {Policy(1), Policy(0, tau=0.8)}
    assert PolicyGrid(0).neighbours == ()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_k": -1}, "max_k is -1"),
        ({"gammas": (-1,)}, "gammas are"),
        ({"gammas": (math.inf,)}, "no cut is always tried"),
        ({"gammas": (math.nan,)}, "gammas are"),
        ({"gammas": (1, 1)}, "gammas hold a number twice"),
        ({"taus": (0,)}, "0 is always tried"),
        ({"taus": (1.5,)}, "taus are"),
    ],
)
def test_grids_that_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        PolicyGrid(**({"max_k": 3} | settings))


def table(similarities: FloatArray | None = None, **changes: Any) -> OutcomeTable:
    rng = np.random.default_rng(0)
    columns: dict[str, Any] = {
        "question_ids": [f"q{row}" for row in range(40)],
        "units": [f"p{row // 2}" for row in range(40)],
        "domains": ["radiology"] * 40,
        "losses": rng.random((40, 4)),
        "confidences": rng.random((40, 4)),
        "answers": [["yes"] * 4] * 40,
        "similarities": similarities,
    }
    return OutcomeTable(**(columns | changes))


def test_every_policy_as_it_would_act_alone() -> None:
    similarities = -np.sort(np.random.default_rng(1).random((40, 3)) * 4, axis=1)
    similarities[5:10, 2] = np.nan  # fewer cases were found
    similarities[7, 0:] = np.nan
    outcomes, grid = table(similarities), PolicyGrid(3, (0.4, 1.0), (0.3, 0.6))
    readings = grid.read(outcomes)
    for column, policy in enumerate(grid.policies):
        for row in range(40):
            found = similarities[row][np.isfinite(similarities[row])]
            count = policy.count(found)
            assert readings.contexts[row, column] == count
            if len(found) == 3 or count < len(found):  # else the table repeats what it read
                assert readings.losses[row, column] == outcomes.losses[row, count]
                assert readings.answered[row, column] == policy.answers(outcomes.confidences[row, count])


def test_tested_values_by_hand() -> None:
    outcomes = table(losses=np.tile([0.0, 1.0, 0.5, 0.5], (40, 1)), confidences=np.tile([0.9, 0.9, 0.1, 0.8], (40, 1)))
    tested = PolicyGrid(3, taus=(0.8,)).read(outcomes).tested(0.2)
    assert tested[0].tolist() == [0, 1, 0.5, 0.5, 0, 1, 0.2, 0.5]  # declined is alpha: no evidence either way


def test_tables_that_do_not_hold_the_grid() -> None:
    with pytest.raises(InputError, match="needs the similarities"):
        PolicyGrid(3, (0.5,)).read(table())
    with pytest.raises(InputError, match="end at k = 3, the grid at 4"):
        PolicyGrid(4).read(table())
    assert PolicyGrid(1).read(table()).losses.shape == (40, 2)


def test_selective_certificate_by_hand(outcomes: Outcomes) -> None:
    # Confident answers are right; the other half is wrong half the time: 25 % against alpha = 0.1.
    losses = np.tile([[0.0], [0.0], [0.0], [1.0]], (100, 1))
    confidences = np.tile([[0.9], [0.9], [0.5], [0.5]], (100, 1))
    made = replace(outcomes(losses), confidences=confidences)
    assert not certify(made, alpha=0.1, delta=0.1, fingerprints=FINGERPRINTS).certified_domains
    certificate = certify(made, alpha=0.1, delta=0.1, fingerprints=FINGERPRINTS, taus=(0.4, 0.8))
    result = certificate.domains["radiology"]
    assert (result.chosen, result.policy) == (result.policies[2], Policy(0, tau=0.8))
    assert [(row.coverage, row.risk) for row in result.policies] == [(1.0, 0.25), (1.0, 0.25), (0.5, 0.0)]
    assert result.policies[2].deviation == pytest.approx(0.05)  # half of the values are 0, half 0.1
    assert certificate.policy("radiology").answers(0.8)
    assert certificate.sentence("radiology") == (
        "In radiology (images routed there and not declined; no question was), the model answers from the image alone "
        "(no reports), and only where its confidence is at least 0.8 (50% of the questions): with 90% confidence, the "
        "mean error in answers given, over patients, is at most 10% of the mean share of questions answered (measured: "
        "0.0% over 400 patients)."
    )


def test_most_answers_then_least_risk_then_fewest_contexts(outcomes: Outcomes) -> None:
    losses = np.zeros((200, 3))
    losses[:20, 0] = 1
    confidences = np.full((200, 3), 0.9)
    confidences[:100] = 0.6
    made = replace(outcomes(losses), confidences=confidences)
    certificate = certify(made, alpha=0.3, delta=0.1, fingerprints=FINGERPRINTS, taus=(0.8,))
    assert numbers_certified(certificate.domains["radiology"]) == list(range(6))
    assert certificate.policy("radiology") == Policy(1)  # all are certified; 1 and 2 make no error, 1 reads less


def test_a_cut_is_certified_where_later_contexts_mislead(outcomes: Outcomes) -> None:
    # Half of the questions have one good context and two misleading ones, the other half three good ones.
    losses = np.vstack([np.tile([1.0, 0.0, 1.0, 1.0], (150, 1)), np.tile([1.0, 1.0, 1.0, 0.0], (150, 1))])
    similarities = np.vstack([np.tile([5.0, 1.0, 0.9], (150, 1)), np.tile([5.0, 4.9, 4.8], (150, 1))])
    made = replace(outcomes(losses), similarities=similarities)
    certificate = certify(made, alpha=0.2, delta=0.1, fingerprints=FINGERPRINTS, gammas=(2.0, 8.0))
    policy = certificate.policy("radiology")
    assert policy == Policy(3, gamma=2.0)
    assert (policy.count([5.0, 1.0, 0.9]), policy.count([5.0, 4.9, 4.8])) == (1, 3)
    result = certificate.domains["radiology"]
    assert result.certified == (result.chosen,)
    assert result.certified[0].contexts == 2
    assert (
        "from the image and the reports of the 3 most similar cases, fewer where similarity falls to less than 14% of "
        "the case before: with"
    ) in certificate.sentence("radiology")


def test_a_threshold_that_nothing_passes_is_never_certified(outcomes: Outcomes) -> None:
    result = certify(
        outcomes(np.zeros((500, 2))), alpha=0.2, delta=0.1, fingerprints=FINGERPRINTS, taus=(0.6,)
    ).domains["radiology"]  # all confidences are 0.5
    assert numbers_certified(result) == [0, 1]
    assert [(row.p_value, row.risk, row.coverage) for row in result.policies[2:]] == [(1.0, 1.0, 0.0)] * 2


def test_nothing_certified_names_the_best_policy(outcomes: Outcomes) -> None:
    losses = np.repeat([[1.0], [0.0]], [4, 16], axis=0)
    made = replace(outcomes(losses), confidences=np.repeat([[0.5], [0.9]], [4, 16], axis=0))
    certificate = certify(
        made, alpha=0.21, delta=0.1, fingerprints=FINGERPRINTS, procedure="sgt", p_value="wsr", taus=(0.8,)
    )
    assert "no policy shows" in certificate.sentence("radiology")
    assert "(the best, k = 0, tau = 0.8, measured 0.0% over 20 patients, p = " in certificate.sentence("radiology")
    needed = certificate.domains["radiology"].further_units
    assert needed is not None
    assert 0 < needed < 100


def test_binomial_refuses_thresholds(outcomes: Outcomes) -> None:
    made = replace(outcomes(np.zeros((9, 1))), confidences=np.full((9, 1), 0.1))
    with pytest.raises(InputError, match="one loss of 0 or 1 per patient"):
        certify(made, alpha=0.2, delta=0.1, fingerprints=FINGERPRINTS, procedure="sgt", p_value="binomial", taus=(0.5,))


@pytest.mark.parametrize("max_k", [0, 1])
def test_one_context_leaves_nothing_to_cut_between(max_k: int) -> None:
    shape = (2, max_k + 1)
    answers = [["yes"] * (max_k + 1)] * 2
    near = np.full((2, max_k), 0.9)
    table = OutcomeTable(["a", "b"], ["p", "q"], ["d", "d"], np.zeros(shape), np.ones(shape), answers, near)
    assert len(PolicyGrid(max_k, gammas=(0.1,)).policies) == max_k + 1
    np.testing.assert_array_equal(PolicyGrid(max_k, gammas=(0.1,)).read(table).contexts, [list(range(max_k + 1))] * 2)
