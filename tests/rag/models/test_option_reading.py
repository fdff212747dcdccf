"""Which option an answer is, by hand."""

import math

import numpy as np
import pytest

from rag.models.option_reading import AnswerToken, named_option, option_scores, tokens_needed

YES_NO = ["yes", "no"]
SIDES = ["left lung", "left pleura", "heart"]


def at(*listed: tuple[str, float]) -> AnswerToken:
    """A token of an answer: the most likely ones with their probabilities, the written one first."""
    return AnswerToken(listed[0][0], tuple((token, math.log(chance)) for token, chance in listed))


def chances(tokens: list[AnswerToken], options: list[str], *, whole: bool = True) -> list[float]:
    scores = option_scores(tokens, options, whole=whole)
    assert scores is not None
    assert scores.dtype == np.float64
    return [float(value) for value in np.exp(scores)]


def test_first_tokens_tell_yes_from_no() -> None:
    assert chances([at(("no", 0.7), ("yes", 0.2), ("maybe", 0.1))], YES_NO) == pytest.approx([0.2, 0.7])


def test_spellings_count_together() -> None:
    token = at(("Yes", 0.4), ("no", 0.45), (" yes", 0.05), ("**Yes", 0.02), ("N", 0.01), ("nothing", 0.03), ("", 0.04))
    assert chances([token], YES_NO) == pytest.approx([0.47, 0.46])


def test_words_that_only_begin_alike_do_not_count() -> None:
    token = at(("no", 0.5), ("yes.", 0.3), ("yesterday", 0.1), ("not", 0.1))
    assert chances([token], YES_NO) == pytest.approx([0.3, 0.5])


def test_an_option_that_is_not_listed_is_less_likely_than_any_that_is() -> None:
    yes, no = chances([at(("yes", 0.9), ("maybe", 0.06), ("The", 0.01))], YES_NO)
    assert yes == pytest.approx(0.9)
    assert no == pytest.approx(0.01, rel=1e-5) and no < 0.01
    last, unlisted = chances([at(("The", 0.9), ("yes", 0.01))], YES_NO)
    assert last > unlisted
    assert chances([at(("yes", 0.8))], YES_NO) == pytest.approx(
        [0.8, 0.2], rel=1e-5
    )  # of a server that lists one token only


def test_options_that_begin_alike_are_told_apart_where_they_part() -> None:
    tokens = [at(("left", 0.6), ("heart", 0.4)), at((" lung", 0.7), (" pleura", 0.2), (" side", 0.1))]
    assert chances(tokens, SIDES) == pytest.approx([0.42, 0.12, 0.4])
    onward = [at(("Left", 0.5), ("left", 0.1), ("heart", 0.4)), at((" pl", 0.9), (" l", 0.1)), at(("eura", 1.0))]
    assert chances(onward, SIDES) == pytest.approx([0.06, 0.54, 0.4])


def test_what_is_not_told_apart_is_shared() -> None:
    assert chances([at(("heart", 0.6), ("left", 0.4))], SIDES) == pytest.approx([0.2, 0.2, 0.6])


def test_an_option_that_begins_another() -> None:
    options = ["no", "no change"]
    listed = [at(("no", 0.9), ("yes", 0.1)), at(("<eos>", 0.7), (" change", 0.3))]
    assert chances(listed, options) == pytest.approx([0.63, 0.27])
    assert chances([at(("no", 0.9)), at((" change", 0.8), (".", 0.2))], options) == pytest.approx([0.18, 0.72])
    short, long = chances([at(("no", 0.9), ("yes", 0.1))], options)  # the server does not tell what ends an answer
    assert short == pytest.approx(0.9) and long == pytest.approx(0)


def test_a_space_first() -> None:
    assert chances([at((" ", 0.9), ("yes", 0.02)), at(("no", 0.6), ("yes", 0.4))], YES_NO) == pytest.approx(
        [0.38, 0.54]
    )


@pytest.mark.parametrize(
    ("tokens", "options"),
    [
        ([], YES_NO),
        ([at(("The", 0.9), ("I", 0.1))], YES_NO),
        ([at(("The", 0.9), ("left", 0.1))], SIDES),
        ([at(("left", 0.9), ("heart", 0.1))], SIDES),  # and no second token
        ([at(("left", 0.9), ("heart", 0.05)), at((" upper", 0.5), (" lower", 0.1))], SIDES),
        ([at(("yes", 0.5), ("no", 0.5))], YES_NO),
    ],
)
def test_tokens_that_leave_it_open(tokens: list[AnswerToken], options: list[str]) -> None:
    assert option_scores(tokens, options, whole=False) is None


def test_order_of_options_does_not_matter() -> None:
    tokens = [at(("left", 0.6), ("heart", 0.4)), at((" lung", 0.7), (" pleura", 0.2), (" side", 0.1))]
    assert chances(tokens, SIDES) == pytest.approx(chances(tokens, SIDES[::-1])[::-1])


def test_tokens_needed() -> None:
    assert tokens_needed(YES_NO) == 2
    assert tokens_needed(["no", "no change"]) == 4
    assert tokens_needed(SIDES) == 7
    assert tokens_needed(["a" * 90 + "b", "a" * 90 + "c"]) == 24


@pytest.mark.parametrize(
    ("answer", "options", "number"),
    [
        ("yes", YES_NO, 0),
        (" **No**, it is not.", YES_NO, 1),
        ("The answer is: Yes.", YES_NO, 0),
        ("No. There is not, yes.", YES_NO, 1),
        ("It could be yes or no.", YES_NO, None),
        ("Nothing. No.", YES_NO, 1),
        ("Nothing known.", YES_NO, None),
        ("", YES_NO, None),
        ("There is no change.", ["no", "no change"], 1),
        ("No.", ["no", "no change"], 0),
        ("abnormal", ["normal", "abnormal"], 1),
        ("It measures 3.5 cm", ["3.5 cm", "5 cm"], 0),
        ("C) heart", ["A", "B", "C"], 2),
    ],
)
def test_options_that_words_name(answer: str, options: list[str], number: int | None) -> None:
    assert named_option(answer, options) == number
