"""How the `prefer` split's outcomes spread delta, and that they are nobody's calibration outcomes."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

import calibration
from calibration import OutcomeTable, PolicyGrid, certify, prefer_prior, uniform_prior
from calibration.checks import FloatArray
from titrate import InputError, hash_patient

Outcomes = Callable[..., OutcomeTable]
FINGERPRINTS = dict.fromkeys(calibration.FINGERPRINTS, "1")


def elsewhere(table: OutcomeTable) -> OutcomeTable:
    """The same outcomes of other patients."""
    return OutcomeTable(
        question_ids=[f"other {name}" for name in table.question_ids],
        units=[f"other {name}" for name in table.units],
        domains=table.domains,
        losses=table.losses,
        confidences=table.confidences,
        answers=table.answers,
    )


def two_domains(outcomes: Outcomes, first: FloatArray, second: FloatArray) -> OutcomeTable:
    return outcomes(np.vstack([first, second]), ["a"] * len(first) + ["b"] * len(second))


def test_uniform() -> None:
    prior = uniform_prior(2, 3)
    assert (prior.kind, prior.table) == ("uniform", None)
    assert prior.weights.tolist() == [[1 / 6] * 3] * 2


def test_all_votes_for_a_policy_that_is_always_best(outcomes: Outcomes) -> None:
    prefer = outcomes(np.tile([1.0, 0.0, 1.0], (30, 1)))
    prior = prefer_prior(prefer, PolicyGrid(2), ["radiology"], 0.2)
    assert (prior.kind, prior.table) == ("prefer", prefer.fingerprint)
    assert prior.weights == pytest.approx(np.array([[0.1 / 3, 0.9 + 0.1 / 3, 0.1 / 3]]))


def test_votes_are_shared_as_far_as_the_data_leave_it_open(outcomes: Outcomes) -> None:
    # k = 0 errs in patients that k = 1 gets right, and the other way round: either is the better one half of the time.
    losses = np.zeros((200, 3))
    losses[:10, 0], losses[10:20, 1], losses[:, 2] = 1, 1, 1
    weights = prefer_prior(outcomes(losses), PolicyGrid(2), ["radiology"], 0.2).weights[0]
    assert weights[:2] == pytest.approx([0.48, 0.48], abs=0.05)
    assert weights[2] == pytest.approx(0.1 / 3)
    more = prefer_prior(outcomes(np.tile(losses, (20, 1))[200:]), PolicyGrid(2), ["radiology"], 0.2)
    assert more.weights.sum() == pytest.approx(1)


def test_a_hopeless_domain_leaves_its_share(outcomes: Outcomes) -> None:
    prefer = two_domains(outcomes, np.tile([0.0, 1.0], (50, 1)), np.ones((50, 2)))
    weights = prefer_prior(prefer, PolicyGrid(1), ["a", "b"], 0.2).weights
    assert weights == pytest.approx(np.array([[0.925, 0.025], [0.025, 0.025]]))
    unmet = prefer_prior(prefer, PolicyGrid(1), ["a", "c"], 0.2).weights
    assert unmet == pytest.approx(np.array([[0.475, 0.025], [0.25, 0.25]]))


def test_no_hope_anywhere_is_uniform(outcomes: Outcomes) -> None:
    prior = prefer_prior(outcomes(np.ones((20, 4))), PolicyGrid(3), ["radiology"], 0.2)
    assert prior.weights == pytest.approx(np.full((1, 4), 0.25))
    assert prior.kind == "prefer"


def test_patients_not_questions_vote(outcomes: Outcomes) -> None:
    # Patient p0 has 60 questions, all wrong at k = 1 and right at k = 0; twenty others the other way round.
    losses = np.vstack([np.tile([0.0, 1.0], (60, 1)), np.tile([1.0, 0.0], (20, 1))])
    prefer = outcomes(losses, units=["p0"] * 60 + [f"p{row}" for row in range(1, 21)])
    weights = prefer_prior(prefer, PolicyGrid(1), ["radiology"], 0.2).weights[0]
    assert weights[1] > 0.9


def test_the_prior_of_a_table_does_not_change(outcomes: Outcomes) -> None:
    prefer = outcomes((np.random.default_rng(0).random((80, 4)) < 0.15).astype(np.float64))
    priors = [
        prefer_prior(table, PolicyGrid(3), ["radiology"], 0.2).weights
        for table in (prefer, prefer, prefer.take(list(range(79, -1, -1))))
    ]
    assert np.array_equal(priors[0], priors[1])
    assert priors[0] == pytest.approx(priors[2])


def test_a_prior_certifies_what_an_even_spread_does_not(outcomes: Outcomes) -> None:
    losses = np.ones((20, 12))
    losses[:, 7] = 0
    made = outcomes(losses)
    for procedure, p_value in (("sgt", "wsr"), ("closed-e", "star")):
        made_by = partial(
            certify, made, alpha=0.2, delta=0.1, fingerprints=FINGERPRINTS, procedure=procedure, p_value=p_value
        )
        assert not made_by().certified_domains  # 20 log(19/16) = 3.4
        certificate = made_by(prior_outcomes=elsewhere(made))
        assert certificate.policy("radiology").k == 7
        assert (certificate.prior, certificate.procedure) == ("prefer", procedure)
    assert certificate.prior_table == elsewhere(made).fingerprint
    assert certificate.domains["radiology"].policies[7].weight == pytest.approx(0.9 + 0.1 / 12)


def test_the_prior_never_sees_calibration_data(outcomes: Outcomes) -> None:
    made = outcomes(np.zeros((9, 2)))
    other = elsewhere(made)

    def attempt(prefer: OutcomeTable) -> None:
        certify(made, alpha=0.2, delta=0.1, fingerprints=FINGERPRINTS, prior_outcomes=prefer)

    attempt(other)
    with pytest.raises(InputError, match="9 patients of the prior are in the calibration table"):
        attempt(made)
    same_patient = outcomes(np.zeros((2, 2)), units=["p3", "somebody"])
    with pytest.raises(InputError, match="1 patients of the prior are in"):
        attempt(same_patient)
    same_question = outcomes(np.zeros((2, 2)), units=["somebody", "nobody"])
    with pytest.raises(InputError, match="2 questions of the prior are in"):
        attempt(same_question)


def test_a_prior_needs_weights_and_enough_contexts(outcomes: Outcomes) -> None:
    made = outcomes(np.zeros((9, 2)))
    with pytest.raises(InputError, match="holm takes no prior; use closed-e or sgt"):
        certify(
            made,
            alpha=0.2,
            delta=0.1,
            fingerprints=FINGERPRINTS,
            prior_outcomes=elsewhere(made),
            procedure="holm",
            p_value="wsr",
        )
    with pytest.raises(InputError, match="end at k = 0, the grid at 1"):
        certify(
            made, alpha=0.2, delta=0.1, fingerprints=FINGERPRINTS, prior_outcomes=elsewhere(outcomes(np.zeros((9, 1))))
        )


def test_patients_of_other_splits_are_refused(outcomes: Outcomes) -> None:
    made = outcomes(np.zeros((9, 2)))
    hashes = {name: {hash_patient(patient) for patient in patients} for name, patients in
              {"train": ("p1", "p2", "x"), "index": ("p2",), "prefer": ("y",)}.items()}  # fmt: skip
    with pytest.raises(
        InputError, match=r"^of 9 calibration patients, 1 are in index and 2 are in train; calibrate on"
    ):
        certify(made, alpha=0.2, delta=0.1, fingerprints=FINGERPRINTS, other_patient_hashes=hashes)
    clean = {"train": {hash_patient("x")}, "prefer": set[str]()}
    made_anyway = certify(made, alpha=0.2, delta=0.1, fingerprints=FINGERPRINTS, other_patient_hashes=clean)
    assert made_anyway.disjoint_from == ("prefer", "train")
