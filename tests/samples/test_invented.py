"""Invented reading tasks: what is asked is true of the reports."""

import random
import re

import pytest

from samples.build.invention import frames
from samples.build.invention.cases import Likeness
from samples.build.invention.inventor import Inventor

INVENTOR = Inventor(["vor", "el", "quin", "tas", "b"], ["granite", "violin", "harbour", "mitten", "lantern", "pebble"])
SURE = Likeness(1.0, 1.0)


@pytest.mark.parametrize(
    ("number", "words"), [(0, "zero"), (19, "nineteen"), (20, "twenty"), (21, "twenty-one"), (99, "ninety-nine")]
)
def test_numbers_are_written_in_words(number: int, words: str) -> None:
    assert frames.in_words(number) == words


def test_similar_cases_that_can_be_trusted_agree_and_others_less_with_each_rank() -> None:
    rng = random.Random(0)
    assert all(SURE.agrees(rank, rng) for rank in range(8))
    share = [sum(Likeness(0.8, 0.5).agrees(rank, rng) for _ in range(4000)) / 4000 for rank in (0, 1, 2)]
    assert share == pytest.approx([0.8, 0.4, 0.2], abs=0.03)


def test_how_the_image_was_made_is_what_a_trusted_report_names() -> None:
    rng, answers = random.Random(3), []
    for _ in range(200):
        said, tasks = INVENTOR.means(rng, 1, SURE, "harbour")
        for task in tasks:
            answers.append(task.answer)
            words = re.findall(r"\w+", said[0].lower())
            named = any(set(term.split()) <= set(words) for term in _terms(task.question, frames.MEANS_ASKED))
            assert named or task.answer == "no", (said, task)
    assert {"yes", "no"} == set(answers)


def test_a_name_is_there_if_it_is_listed() -> None:
    rng = random.Random(4)
    for _ in range(50):
        (said, again), tasks = INVENTOR.named(rng, 2, SURE, "harbour")
        assert said == again
        assert all((task.answer == "yes") == (task.question[:-1] in said[:-1].split(", ")) for task in tasks)


def test_questions_that_a_trusted_report_answers_are_answered_as_there() -> None:
    rng, compared = random.Random(6), 0
    for _ in range(200):
        (said,), tasks = INVENTOR.interviews(rng, 1, SURE, "harbour")
        told = dict(re.findall(r"([A-Z][^?]*\?) (yes|no)\b", said, re.IGNORECASE))
        for task in tasks:
            if task.question in told:
                compared += 1
                assert task.answer == told[task.question].lower()
    assert compared > 20


def test_an_easy_case_is_about_one_thing_in_which_all_reports_agree() -> None:
    rng = random.Random(8)
    for _ in range(50):
        case = INVENTOR.case(rng, 3, facets=["named"], easy=True)
        assert len(set(case.reports)) == 1 and len(case.tasks) == 4


def test_counts_are_compared_as_numbers() -> None:
    rng, seen = random.Random(5), set()
    for _ in range(300):
        said, tasks = INVENTOR.counts(rng, 1, Likeness(0.0, 1.0), "harbour")
        assert all(sentence for sentence in said)
        seen |= {task.question.split()[2] for task in tasks if task.question.startswith("Are there")}
    assert {"at", "more", "fewer"} <= seen


def test_a_quote_stands_in_the_report_that_is_read_last() -> None:
    rng, quoted = random.Random(7), 0
    for _ in range(100):
        case = INVENTOR.case(rng, 8)
        for task in case.tasks:
            if task.question.startswith("What is said of"):
                quoted += 1
                assert task.answer.rstrip(".") in case.reports[task.first - 1]
    assert quoted > 30


def test_half_of_the_answers_are_yes_so_that_none_is_right_without_reading() -> None:
    rng = random.Random(11)
    answers = [task.answer for _ in range(400) for task in INVENTOR.case(rng, 8).tasks if task.options == ("yes", "no")]
    assert answers.count("yes") / len(answers) == pytest.approx(0.48, abs=0.06)


def _terms(question: str, asked: tuple[str, ...]) -> list[str]:
    """What a question may ask for: several frames can fit it."""
    parts = [frame.split("{m}") for frame in asked]
    return [
        question[len(before) : len(question) - len(after)].lower()
        for before, after in parts
        if question.startswith(before) and question.endswith(after)
    ]
