"""Which option an answer is, by hand."""

import math

import numpy as np
import pytest

from rag.models.server.option_reading import AnswerToken, named_option, option_scores, tokens_needed

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
    assert chances([token], YES_NO) == pytest.approx([0.47, 0.45]), "and a part of a word that is listed whole does not"


def test_words_that_only_begin_alike_do_not_count() -> None:
    token = at(("no", 0.5), ("yes.", 0.3), ("yesterday", 0.1), ("not", 0.1))
    assert chances([token], YES_NO) == pytest.approx([0.3, 0.5])


def test_a_part_of_a_word_counts_where_no_token_holds_the_whole() -> None:
    assert chances([at(("pn", 0.6), ("no", 0.3), ("ef", 0.1))], ["pneumonia", "effusion", "no"]) == pytest.approx(
        [0.6, 0.1, 0.3]
    )


def test_equal_probabilities_stay_equal() -> None:
    """As bf16 gives them in 2 answers of 100: the least sure answers, which must not look the surest."""
    assert chances([at(("yes", 0.5), ("no", 0.5))], YES_NO) == pytest.approx([0.5, 0.5])
    scores = option_scores([at(("no", 0.4), ("yes", 0.4), ("maybe", 0.2))], YES_NO, whole=True)
    assert scores is not None and scores[0] == scores[1] and int(scores.argmax()) == 0, "the first option is given"


def test_a_single_letter_is_no_article() -> None:
    token = at(("B", 0.4), ("a", 0.3), ("A", 0.1), (" C", 0.1))
    assert chances([token], ["A", "B", "C"]) == pytest.approx([0.1, 0.4, 0.1])


def test_options_that_begin_alike_are_told_apart_where_they_part() -> None:
    tokens = [at(("left", 0.6), ("heart", 0.4)), at((" lung", 0.7), (" pleura", 0.2), (" side", 0.1))]
    assert chances(tokens, SIDES) == pytest.approx([0.42, 0.12, 0.4])
    onward = [at(("Left", 0.5), ("left", 0.1), ("heart", 0.4)), at((" pl", 0.9), (" l", 0.1)), at(("eura", 1.0))]
    assert chances(onward, SIDES) == pytest.approx([0.06, 0.54, 0.4])


def test_an_option_that_begins_another() -> None:
    options = ["no", "no change"]
    listed = [at(("no", 0.9), ("yes", 0.1)), at(("<eos>", 0.7), (" change", 0.3))]
    assert chances(listed, options) == pytest.approx([0.63, 0.27])
    assert chances([at(("no", 0.9)), at((" change", 0.8), (".", 0.2))], options) == pytest.approx([0.18, 0.72])


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
        ([at(("yes", 0.9), ("maybe", 0.06), ("The", 0.01))], YES_NO),  # "no" has 0.03 at most, and that is a guess
        ([at(("yes", 0.8))], YES_NO),  # of a server that lists one token only
        ([at(("<think>", 0.9998), ("no", 1e-5), ("yes", 2.5e-6))], YES_NO),  # hardly any probability on the options
        ([at(("heart", 0.6), ("left", 0.4))], SIDES),  # how the two on the left share 0.4 is not told
        ([at(("no", 0.9), ("yes", 0.1))], ["no", "no change"]),  # nor what ends an answer
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
        ("It is a heart: B", ["A", "B"], 1),
        ("A heart.", ["A", "B"], None),
        ("A. Heart", ["A", "B"], 0),
    ],
)
def test_options_that_words_name(answer: str, options: list[str], number: int | None) -> None:
    assert named_option(answer, options) == number
