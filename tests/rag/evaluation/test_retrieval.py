"""Figures of retrieval by itself, worked by hand, and a small index judged by them."""

import json
from dataclasses import asdict, replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from indexing import Encoder, Exclusion, Index, load_image
from rag import Question, SimilarCaseRetriever, known_questions, read_questions
from rag.evaluation.ranking_scores import expected_scores, scores_of
from rag.evaluation.retrieval import (
    MEAN,
    RANDOM,
    Judged,
    balanced,
    evaluate_retrieval,
    format_retrieval,
)
from rag.retrieval.modes import MODES
from tests.rag.small import query_image
from titrate import InputError


def test_scores_worked_by_hand() -> None:
    """Relevant at ranks 2 and 3, two in all: DCG 0.63093 + 0.5, ideal 1 + 0.63093."""
    *rest, ndcg = scores_of([False, True, True], 2, (1, 2, 4))
    assert rest == [0, 1, 1, 0, 1 / 2, 2 / 4]
    assert ndcg == pytest.approx(1.13093 / 1.63093, abs=1e-5)
    # Of twelve relevant, ten can stand in the first ten: all there is perfect, and what stands behind does not count.
    assert scores_of([True] * 10 + [False], 12, (1,)) == pytest.approx((1, 1, 1))
    assert scores_of([False] * 10 + [True], 12, (1,)) == (0, 0, 0)
    assert scores_of([], 1, (1, 2)) == (0, 0, 0, 0, 0)


def test_random_records_worked_by_hand_and_by_trying_every_order() -> None:
    """One relevant of two: first or second with equal chance, so nDCG is (1 + 0.63093) / 2."""
    assert expected_scores(1, 2, (1, 2)) == pytest.approx((0.5, 1, 0.5, 0.5, 0.815465), abs=1e-6)
    orders = [scores_of(order, 2, (1, 3, 8)) for order in permutations([True, True, False, False, False])]
    assert expected_scores(2, 5, (1, 3, 8)) == pytest.approx(np.mean(orders, axis=0))


def asked_of(*places: str) -> list[Judged]:
    """Domain, answer and patient, a letter each."""
    return [Judged(place[0], place[1], place[2], {}) for place in places]


def test_balanced_worked_by_hand() -> None:
    """Yes: patient a has 1 and 0, so 1/2, and b has 1: mean 3/4. No: patient a has 0, b and c 1/2 each: mean 1/3."""
    values = np.array([1, 0, 1, 0, 0.5, 0.5])
    estimate = balanced(values, asked_of("dya", "dya", "dyb", "dna", "dnb", "dnc"), 0)
    assert estimate.value == pytest.approx((3 / 4 + 1 / 3) / 2)
    # Another domain, with one answer only, weighs as much as the first: (13/24 + 1) / 2.
    both = asked_of("dya", "dya", "dyb", "dna", "dnb", "dnc", "eyf", "eyg")
    assert balanced(np.append(values, [1, 1]), both, 0).value == pytest.approx((13 / 24 + 1) / 2)


def test_what_never_varies_has_no_width() -> None:
    places = asked_of("dya", "dyb", "dyc", "dna")
    estimate = balanced(np.full(4, 0.3), places, 0)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((0.3, 0.3, 0.3))


def test_the_interval_is_that_of_drawing_patients_and_averaging_anew() -> None:
    rng = np.random.default_rng(5)
    places = asked_of(
        *(f"d{'y' if rng.random() < 0.2 else 'n'}{chr(1000 + patient)}" for patient in range(150) for _ in "ab")
    )
    values = rng.random(300) * [0.5 if place.answer == "y" else 1 for place in places]
    of_patient: dict[str, list[tuple[str, float]]] = {place.patient: [] for place in places}
    for place, value in zip(places, values.tolist(), strict=True):
        of_patient[place.patient].append((place.answer, value))
    means = []
    for _ in range(1000):
        drawn = [of_patient[name] for name in rng.choice(sorted(of_patient), 150)]
        cells = [
            [np.mean([v for a, v in own if a == answer]) for own in drawn if answer in dict(own)] for answer in "yn"
        ]
        means.append(np.mean([np.mean(cell) for cell in cells]))
    estimate = balanced(values, places, 0)
    assert (estimate.low, estimate.high) == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.01)


@pytest.fixture(scope="session")
def asked(samples: Path) -> Question:
    """Asked about the image of which the small index holds copies."""
    return Question(
        id="q",
        image=query_image(samples),
        text="Is it there?",
        answer="yes",
        options=("yes", "no"),
        patient="nobody",
        domain="pathology",
        split="test",
        kind="finding",
    )


@pytest.fixture(scope="session")
def near(small: Index, encoder: Encoder, asked: Question) -> list[str]:
    """The five other images, most similar first."""
    vectors = encoder.embed_images([load_image(asked.image)])
    found = SimilarCaseRetriever(small, encoder).similar(vectors, ["pathology"], [Exclusion()], 5)[0]
    return [match.record.id for match in found]


def answers(asked: Question, given: dict[str, str], text: str | None = None) -> list[Question]:
    return [
        replace(asked, id=f"{record} {text}", record=record, answer=answer, text=text or asked.text, split="train")
        for record, answer in given.items()
    ]


def test_a_small_index(small: Index, encoder: Encoder, asked: Question, near: list[str]) -> None:
    """Relevant: the second, asked in the same words, and the fourth, asked in others. The first said no."""
    known = answers(asked, {near[0]: "no", near[1]: "yes", near[2]: "no"})
    known += answers(asked, {near[3]: "yes", near[0]: "yes"}, "Is it seen?")  # the same words go before the kind
    negative = replace(asked, id="q2", answer="no")
    unknown = replace(asked, id="q3", text="Unheard?", kind="unheard")
    steps: list[tuple[int, int]] = []
    rows = evaluate_retrieval(
        small, encoder, [asked, negative, unknown], known, ks=(1, 2, 4), progress=lambda *step: steps.append(step)
    )
    assert [(row.domain, row.mode) for row in rows] == [("pathology", mode) for mode in (RANDOM, *MODES)]
    assert {(row.questions, row.patients, row.left_out) for row in rows} == {(2, 1, 1)}
    assert steps[-1] == (3, 3)
    chance, by_image = rows[0], rows[1]
    # Yes: ranks 2 and 4. No: ranks 1 and 3. Each figure is the mean of the two.
    assert [by_image.precision[k].value for k in (1, 2, 4)] == [0.5, 0.5, 0.5]
    assert [by_image.hit[k].value for k in (1, 2, 4)] == [0.5, 1, 1]
    ideal = 1 + 1 / np.log2(3)
    yes, no = (1 / np.log2(3) + 1 / np.log2(5)) / ideal, (1 + 1 / np.log2(4)) / ideal
    assert by_image.ndcg.value == pytest.approx((yes + no) / 2)
    assert by_image.gain is not None and by_image.gain.value == 0
    # Two of the fourteen records of the domain, both times.
    assert [chance.precision[k].value for k in (1, 2, 4)] == pytest.approx([2 / 14] * 3)
    assert chance.hit[2].value == pytest.approx(1 - 12 / 14 * 11 / 13)
    for row in rows:
        assert row.gain is not None
        assert row.gain.value == pytest.approx(row.ndcg.value - by_image.ndcg.value)
        assert json.loads(json.dumps(asdict(row)))["hit"].keys() == {"1", "2", "4"}


def test_records_of_the_questions_patient_are_not_relevant(
    small: Index, encoder: Encoder, asked: Question, near: list[str]
) -> None:
    own = replace(asked, patient=f"patient-{near[0]}")
    known = answers(asked, {near[0]: "yes", near[4]: "yes"})
    chance, by_image = evaluate_retrieval(small, encoder, [own], known, modes=["image-image"], ks=(1, 4))
    assert chance.precision[1].value == pytest.approx(1 / 13)
    assert (by_image.hit[1].value, by_image.hit[4].value) == (0, 1)  # what was fifth is fourth
    assert by_image.gain is not None


def test_without_image_image_there_is_no_gain(small: Index, encoder: Encoder, asked: Question, near: list[str]) -> None:
    rows = evaluate_retrieval(small, encoder, [asked], answers(asked, {near[0]: "yes"}), modes=["image-report"])
    assert [row.gain for row in rows] == [None, None]
    assert "+" not in format_retrieval(rows)


def test_nothing_that_can_be_judged(small: Index, encoder: Encoder, asked: Question, near: list[str]) -> None:
    for known in ([], answers(asked, {near[0]: "no"}), answers(asked, {"elsewhere": "yes"})):
        with pytest.raises(InputError, match="no question was also asked of an indexed record"):
            evaluate_retrieval(small, encoder, [asked], known)


def test_two_domains_and_their_mean_as_a_table(
    small: Index, encoder: Encoder, asked: Question, near: list[str], judged: list[Question]
) -> None:
    other = next(question for question in judged if question.domain == "radiology")
    known = answers(asked, {near[1]: "yes"}) + answers(other, {"far": other.answer})
    unknown = replace(asked, id="q3", text="Unheard?", kind="unheard")
    rows = evaluate_retrieval(small, encoder, [asked, other, unknown], known)
    value = {(row.domain, row.mode): row.ndcg.value for row in rows}
    assert value[MEAN, "image-image"] == pytest.approx((1 / np.log2(3) + 1) / 2)
    table = format_retrieval(rows).splitlines()
    assert len(table) == 1 + 3 * 5 + 1
    assert table[0].split()[:4] == ["domain", "retrieval", "n", "P@1"]
    assert table[2].split()[:3] == ["pathology", "image-image", "1"]
    assert "(+" in table[1] or "(-" in table[1]
    assert "over image-image" in table[0] and "(" not in table[2]
    assert table[-1] == "pathology: 1 questions left out, to which no indexed record is relevant"


def test_what_is_known_needs_no_image_but_sound_lines(asked: Question, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(asked.image.read_bytes())
    line = {"id": "1", "image": "a.png", "question": "?", "answer": "yes", "options": ["yes", "no"], "split": "test"}
    gone = {**line, "id": "2", "image": "gone.png", "split": "train"}
    path = tmp_path / "questions.jsonl"
    path.write_text(f"{json.dumps(line)}\n{json.dumps(gone)}\n")
    judged = read_questions(path, splits=["test"])
    assert [question.id for question in known_questions(path, None, judged)] == ["2"]
    path.write_text(f"{json.dumps(line)}\n{json.dumps({**gone, 'answer': 'perhaps'})}\n")
    with pytest.raises(InputError, match="line 2: the answer 'perhaps' is not among the options"):
        known_questions(path, None, judged)
