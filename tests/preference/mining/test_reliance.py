"""Reliance numbers worked out by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from preference import Reliance, Share, format_reliance, measure_reliance
from rag import Outcomes, bootstrap_interval
from tests.preference.tiny import make_outcomes, make_question
from titrate import InputError

IMAGE = Path("image.png")
# Radiology at k = 2: a and b both right in 3 (p0, p0, p1), harmed 2 (p1, p2), helped 1 (p2), neither 2 (p3, p3).
RADIOLOGY = ["+-+", "+-+", "+++", "++-", "+--", "-++", "-+-", "---"]
PATIENTS = ["p0", "p0", "p1", "p1", "p2", "p2", "p3", "p3"]
ANSWERS = ["yes", "yes", "yes", "no", "no", "yes", "no", "yes"]


@pytest.fixture(scope="module")
def outcomes() -> Outcomes:
    questions = [
        make_question(n, answer, IMAGE, patient=patient)
        for n, (answer, patient) in enumerate(zip(ANSWERS, PATIENTS, strict=True))
    ]
    questions += [make_question(8 + n, "no", IMAGE, patient="p9") for n in range(2)]
    return make_outcomes(questions, [*RADIOLOGY, "+++", "+++"], ["radiology"] * 8 + ["pathology"] * 2)


@pytest.fixture(scope="module")
def radiology(outcomes: Outcomes) -> Reliance:
    known = [make_question(100, "yes", IMAGE, patient="train")]
    return measure_reliance(outcomes, known, 2)[1]


def value(share: Share | None) -> float:
    assert share is not None
    return share.value


def test_shares_are_those_of_the_definition(radiology: Reliance) -> None:
    assert (radiology.domain, radiology.k, radiology.questions, radiology.patients) == ("radiology", 2, 8, 4)
    assert radiology.alone.value == 5 / 8
    assert radiology.with_contexts.value == 4 / 8
    assert value(radiology.over_reliance) == 2 / 4
    assert value(radiology.harm) == 2 / 5
    assert value(radiology.help) == 1 / 3
    assert radiology.net.value == pytest.approx(-1 / 8)
    assert [share.count for share in (radiology.over_reliance, radiology.harm, radiology.help) if share] == [4, 5, 3]


def test_baselines_stand_beside(radiology: Reliance) -> None:
    # The only known answer is yes, and five of the eight references are yes.
    assert radiology.majority is not None and radiology.nearest is not None
    assert radiology.majority.value == radiology.nearest.value == 5 / 8


def test_nearest_copies_the_most_similar_case_asked_the_same(outcomes: Outcomes) -> None:
    known = [replace(make_question(n, "no", IMAGE, patient="train"), record=f"near{n}") for n in range(2)]
    known += [make_question(50 + n, "yes", IMAGE, patient="train") for n in range(3)]
    measured = measure_reliance(outcomes, known, 2)[1]
    assert measured.majority is not None and measured.nearest is not None
    assert (measured.majority.value, measured.nearest.value) == (5 / 8, 3 / 8)


def test_intervals_resample_patients(radiology: Reliance) -> None:
    right = np.array([1, 1, 1, 0, 0, 1, 0, 0], dtype=np.float64)
    assert (radiology.with_contexts.low, radiology.with_contexts.high) == bootstrap_interval(right, PATIENTS)
    harmed = bootstrap_interval(np.array([0, 0, 0, 1, 1], dtype=np.float64), ["p0", "p0", "p1", "p1", "p2"])
    assert radiology.harm is not None
    assert (radiology.harm.low, radiology.harm.high) == harmed
    for share in (radiology.alone, radiology.with_contexts, radiology.harm, radiology.net):
        assert share.low <= share.value <= share.high


def test_a_share_of_no_questions_is_none(outcomes: Outcomes) -> None:
    pathology = measure_reliance(outcomes, [], 2)[0]
    assert pathology.domain == "pathology"
    assert (pathology.over_reliance, pathology.help) == (None, None)
    assert (value(pathology.harm), pathology.net.value) == (0.0, 0.0)
    assert "no such questions" in format_reliance([pathology])


def test_each_domain_may_have_its_own_k(outcomes: Outcomes) -> None:
    pathology, radiology = measure_reliance(outcomes, [], {"pathology": 0, "radiology": 1})
    assert (pathology.k, radiology.k) == (0, 1)
    assert radiology.with_contexts.value == 4 / 8
    assert value(radiology.over_reliance) == 3 / 4


@pytest.mark.parametrize(("k", "told"), [(3, "outside"), (-1, "outside"), ({"pathology": 1}, "no k is given")])
def test_a_k_that_was_not_scored_is_refused(outcomes: Outcomes, k: int | dict[str, int], told: str) -> None:
    with pytest.raises(InputError, match=told):
        measure_reliance(outcomes, [], k)


def test_a_loss_below_one_half_is_right(outcomes: Outcomes) -> None:
    losses = outcomes.table.losses.copy()
    losses[:3, 0] = (0.5, 0.49, 0.01)  # all three were right; the first is now half right, which is not enough
    changed = replace(outcomes, table=replace(outcomes.table, losses=losses))
    assert measure_reliance(changed, [], 1)[1].alone.value == 4 / 8


def test_copying_is_right_without_the_image(outcomes: Outcomes) -> None:
    losses = np.ones_like(outcomes.table.losses)
    losses[:6, 2] = 0.0
    losses[:2, 0] = 0.0
    noised = replace(outcomes, table=replace(outcomes.table, losses=losses))
    measured = measure_reliance(outcomes, [], 2, noised=noised)[1]
    assert (value(measured.copying), value(measured.blind)) == (6 / 8, 2 / 8)
    assert "copy-reference rate          0.750" in format_reliance([measured])


def test_noise_about_other_questions_is_refused(outcomes: Outcomes) -> None:
    with pytest.raises(InputError, match="other questions"):
        measure_reliance(outcomes, [], 2, noised=replace(outcomes, matches=((),) * 10))


def test_the_table_names_everything(radiology: Reliance) -> None:
    text = format_reliance([radiology])
    assert "radiology: 8 questions of 4 patients, k = 2" in text
    assert "over-reliance ratio          0.500" in text
    assert "majority" in text
    assert "nearest" in text
