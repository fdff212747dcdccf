"""Early stopping: the same tests as the full pass, ended when they are decided."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import calibration
from calibration import Certificate, OutcomeTable, Policy, SequentialCertifier, certify
from calibration.checks import FloatArray
from titrate import InputError, hash_patient

Outcomes = Callable[..., OutcomeTable]
FINGERPRINTS = dict.fromkeys(calibration.FINGERPRINTS, "1")


def start(table: OutcomeTable, **changes: Any) -> SequentialCertifier:
    settings: dict[str, Any] = {"max_k": table.max_k, "alpha": 0.2, "delta": 0.1}
    return SequentialCertifier(table.question_ids, table.units, table.domains, **(settings | changes))


def score(certifier: SequentialCertifier, table: OutcomeTable, patients: int = 1) -> int:
    """Score patients until all is decided, and say how many questions that took."""
    row_of = {question: row for row, question in enumerate(table.question_ids)}
    asked = 0
    while questions := certifier.next(patients):
        asked += len(questions)
        certifier.add(table.take([row_of[question] for question in questions]))
    return asked


def draw(risks: list[float], patients: int, questions: int, seed: int) -> FloatArray:
    """0/1 losses ``[patients * questions, k]``."""
    rng = np.random.default_rng(seed)
    return (rng.random((patients * questions, len(risks))) < np.array(risks)).astype(np.float64)


def test_stops_as_soon_as_the_evidence_is_enough(outcomes: Outcomes) -> None:
    # Wanted is log(3 / 0.1) = 3.40. The first four bets are 0.52, 0.66, 0.78 and 0.87 and win 0.53 of it, as the
    # variance is not known to be small yet; each later one, 0.9375, wins log(19/16) = 0.172: 17 more make it.
    table = outcomes(np.zeros((100, 3)))
    certifier = start(table)
    assert score(certifier, table) == 21
    assert certifier.certified == {"radiology": (Policy(0), Policy(1), Policy(2))}
    assert (certifier.undecided, certifier.questions_saved) == ((), 79)
    certificate = certifier.certificate(FINGERPRINTS)
    result = certificate.domains["radiology"]
    assert certificate.sequential
    assert (result.n_units, result.planned_units, result.n_questions, result.planned_questions) == (21, 100, 21, 100)
    assert (result.questions_saved, result.stopped, certificate.policy("radiology")) == (79, "certified", Policy(0))
    assert certificate.rounds == (100,)


def test_larger_steps_stop_a_little_later(outcomes: Outcomes) -> None:
    table = outcomes(np.zeros((100, 3)))
    assert score(start(table), table, patients=16) == 32


def test_gives_up_what_right_answers_could_no_longer_save(outcomes: Outcomes) -> None:
    # Against alpha = 0.01 a right answer wins at most 1.0076: 300 of them 9.6, less than 1 / delta.
    table = outcomes(np.zeros((300, 1)))
    certifier = start(table, alpha=0.01)
    assert score(certifier, table) == 1
    certificate = certifier.certificate(FINGERPRINTS)
    result = certificate.domains["radiology"]
    assert (result.stopped, result.certified, certifier.certified) == ("futile", (), {"radiology": ()})
    # To certify takes log(10) / log(1 + 0.75 * 0.01 / 0.99) = 305 right answers in all at the very least.
    assert 304 < (result.further_units or 0) + result.n_units < 1000


def test_gives_up_where_the_risk_is_shown_to_be_above_alpha(outcomes: Outcomes) -> None:
    table = outcomes(draw([0.5, 0.45, 0.5], 1000, 1, seed=0))
    certifier = start(table)
    assert score(certifier, table) < 100
    assert certifier.certificate(FINGERPRINTS).domains["radiology"].stopped == "futile"


def test_the_full_pass_gives_what_certify_gives(outcomes: Outcomes) -> None:
    """Five questions a patient, and evidence that stays hopeful to the end without being enough."""
    losses = draw([0.14, 0.15, 0.16], 60, 5, seed=3)
    table = outcomes(losses, units=[f"p{row // 5}" for row in range(300)], domains=["a"] * 150 + ["b"] * 150)
    certifier = start(table)
    assert score(certifier, table, patients=7) == 300
    sequential = certifier.certificate(FINGERPRINTS)
    full = certify(table, alpha=0.2, delta=0.1, fingerprints=FINGERPRINTS, procedure="sgt", p_value="wsr")
    assert sequential.domains == full.domains
    assert all(result.stopped == "all" for result in sequential.domains.values())
    assert full.sequential is False


def test_what_is_certified_early_is_certified_on_the_whole(outcomes: Outcomes) -> None:
    for seed in range(20):
        table = outcomes(draw([0.3, 0.1, 0.12, 0.2], 400, 1, seed))
        certifier = start(table)
        score(certifier, table, patients=8)
        early = certifier.certificate(FINGERPRINTS).domains["radiology"]
        full = certify(table, alpha=0.2, delta=0.1, fingerprints=FINGERPRINTS, procedure="sgt", p_value="wsr")
        whole = full.domains["radiology"]
        for first, last in zip(early.policies, whole.policies, strict=True):
            assert first.certified <= last.certified
            assert first.p_value >= last.p_value


def test_domains_end_one_by_one(outcomes: Outcomes) -> None:
    borderline = np.tile([[1.0, 1.0], *[[0.0, 0.0]] * 4], (40, 1))  # exactly alpha
    losses = np.vstack([np.zeros((200, 2)), borderline, np.ones((200, 2))])
    table = outcomes(losses, ["easy"] * 200 + ["hard"] * 200 + ["hopeless"] * 200)
    certifier = start(table)
    row_of = {question: row for row, question in enumerate(table.question_ids)}
    open_domains = []
    while questions := certifier.next(3):
        asked = table.take([row_of[question] for question in questions])
        assert set(asked.domains) <= set(certifier.undecided)
        certifier.add(asked)
        open_domains.append(certifier.undecided)
    assert [names for at, names in enumerate(open_domains) if names not in open_domains[:at]] == [
        ("easy", "hard", "hopeless"),
        ("easy", "hard"),
        ("hard",),
        (),
    ]
    results = certifier.certificate(FINGERPRINTS).domains
    assert results["easy"].n_units + results["hopeless"].n_units < 60
    assert results["hard"].n_units > 150


def test_the_order_depends_on_the_names_of_patients_only(outcomes: Outcomes) -> None:
    table = outcomes(draw([0.1, 0.1], 50, 2, seed=3), units=[f"p{row // 2}" for row in range(100)])
    mixed = table.take(np.random.default_rng(4).permutation(100).tolist())
    assert start(table).next(50) == start(mixed).next(50)
    renamed = replace(table, units=[f"b{unit}" for unit in table.units])
    assert start(table).next(50) != start(renamed).next(50)
    assert len(start(table).next(3)) == 6  # patients, with all their questions


def made(outcomes: Outcomes, patients: int) -> Certificate:
    table = outcomes(draw([0.3, 0.05], 300, 1, seed=5))
    certifier = start(table)
    score(certifier, table, patients)
    return certifier.certificate(FINGERPRINTS)


def test_scored_again_the_certificate_is_the_same(outcomes: Outcomes) -> None:
    assert made(outcomes, 4).domains == made(outcomes, 4).domains


def test_other_outcomes_than_asked_for_are_refused(outcomes: Outcomes) -> None:
    table = outcomes(np.zeros((40, 2)))
    certifier = start(table)
    with pytest.raises(InputError, match="not the outcomes of the questions asked for"):
        certifier.add(table.take([0]))
    questions = certifier.next(2)
    rows = [table.question_ids.index(question) for question in questions]
    for wrong in (rows[:1], [*rows, (rows[0] + 1) % 40 if (rows[0] + 1) % 40 not in rows else (rows[0] + 2) % 40]):
        with pytest.raises(InputError, match="add those, all at once"):
            certifier.add(table.take(wrong))
    with pytest.raises(InputError, match="2 questions have no outcomes yet"):
        certifier.next(1)
    with pytest.raises(InputError, match="radiology is still undecided"):
        certifier.certificate(FINGERPRINTS)
    certifier.add(table.take(rows))
    with pytest.raises(InputError, match="patients is 0"):
        certifier.next(0)
    score(certifier, table)
    with pytest.raises(InputError, match="no fingerprint of index"):
        certifier.certificate({name: "1" for name in FINGERPRINTS if name != "index"})


def test_settings_are_checked_before_anything_is_scored(outcomes: Outcomes) -> None:
    table = outcomes(np.zeros((9, 2)))
    for changes, message in (
        ({"alpha": 0}, "alpha is 0"),
        ({"max_k": -1}, "max_k is -1"),
        ({"prior_outcomes": table}, "9 patients of the prior"),
        ({"other_patient_hashes": {"train": {hash_patient("p1")}}}, "1 are in train"),
    ):
        with pytest.raises(InputError, match=message):
            start(table, **changes)
    with pytest.raises(InputError, match="no questions"):
        SequentialCertifier([], [], [], max_k=1, alpha=0.1, delta=0.1)
    with pytest.raises(InputError, match="1 units for 2 rows"):
        SequentialCertifier(["a", "b"], ["p"], ["d", "d"], max_k=1, alpha=0.1, delta=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("patients", [400, 1000])
def test_saves_half_where_the_risk_is_half_of_alpha(patients: int, outcomes: Outcomes) -> None:
    saved = []
    for seed in range(40):
        table = outcomes(draw([0.25, 0.2, 0.15, 0.1, 0.1, 0.1, 0.12, 0.15, 0.2], patients, 1, seed))
        certifier = start(table)
        score(certifier, table, patients=10)
        saved.append(certifier.questions_saved / patients)
    assert np.mean(saved) >= 0.5
    assert np.mean(np.array(saved) >= 0.5) >= 0.8
