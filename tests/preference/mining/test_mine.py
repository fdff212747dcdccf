"""Mining on hand-made outcome tables."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from indexing import Record, load_image
from preference import ImageNoise, MinedPairs, PreferencePair, mine_pairs
from rag import Outcomes, PromptTemplate, TokenBudget
from tests.preference.tiny import make_outcomes, make_question
from titrate import InputError

IMAGE = Path("image.png")
PROMPT = PromptTemplate()


def table(
    rows: list[tuple[str, str]], domains: list[str] | None = None, matches: int | None = None, image: Path = IMAGE
) -> Outcomes:
    questions = [make_question(n, answer, image, patient=f"p{n}") for n, (answer, _) in enumerate(rows)]
    return make_outcomes(questions, [marks for _, marks in rows], domains or ["radiology"] * len(rows), matches)


def mine(rows: list[tuple[str, str]], *, matches: int | None = None, **options: Any) -> tuple[PreferencePair, ...]:
    return mine_pairs(table(rows, matches=matches), **{"kinds": ["over-reliance"], **options}).pairs


def test_over_reliance_is_right_alone_and_wrong_with_contexts() -> None:
    found = mine([("yes", "+-+"), ("no", "++-"), ("yes", "--+"), ("no", "+++"), ("yes", "---")])
    assert [(pair.question, pair.k, pair.chosen, pair.rejected) for pair in found] == [
        ("q0", 1, "yes", "no"),
        ("q1", 2, "no", "yes"),
    ]
    pair = found[1]
    assert (pair.id, pair.kind, pair.domain, pair.patient, pair.split) == (
        "q1@2/over-reliance",
        "over-reliance",
        "radiology",
        "p1",
        "prefer",
    )
    assert pair.image == IMAGE
    assert pair.one_image


def test_under_use_is_wrong_alone_and_right_with_contexts() -> None:
    found = mine([("yes", "-+-"), ("no", "--+"), ("yes", "+-+"), ("no", "---")], kinds=["under-use"])
    assert [(pair.id, pair.chosen, pair.rejected) for pair in found] == [
        ("q0@1/under-use", "yes", "no"),
        ("q1@2/under-use", "no", "yes"),
    ]


def test_an_anchor_is_right_alone_and_asked_alone() -> None:
    # q0 is right throughout, q1 only alone, q2 never.
    outcomes = table([("yes", "+++"), ("no", "+--"), ("yes", "---")])
    mined = mine_pairs(outcomes, kinds=["anchor"], balance=False)
    assert [(pair.id, pair.kind, pair.k, pair.chosen, pair.rejected) for pair in mined.pairs] == [
        ("q0@0/anchor", "anchor", 0, "yes", "no"),
        ("q1@0/anchor", "anchor", 0, "no", "yes"),
    ]
    assert mined.pairs[0].prompt == PROMPT.render(outcomes.questions[0].text, outcomes.questions[0].options, [])
    assert mined.confidences == tuple(1 - outcomes.table.confidences[:2, 0])


def test_an_anchor_of_free_text_rejects_what_contexts_made_the_model_say() -> None:
    rows = [("yes", "+-+"), ("no", "+++")]
    free = replace(table(rows), questions=tuple(replace(q, options=None) for q in table(rows).questions))
    found = mine_pairs(free, kinds=["anchor"], balance=False).pairs
    assert [(pair.question, pair.rejected) for pair in found] == [("q0", "no")]  # nothing to reject for q1


def test_anchors_are_cut_to_the_other_kinds() -> None:
    # Over-reliance: q0 (yes) and q1 (no). Anchors: all four.
    mined = mine_pairs(
        table([("yes", "+-+"), ("no", "+-+"), ("yes", "+++"), ("no", "+++")]),
    )
    assert mined.found == {"over-reliance": 2, "anchor": 4}
    assert Counter((pair.kind, pair.chosen) for pair in mined.pairs) == {
        (kind, answer): 1 for kind in ("over-reliance", "anchor") for answer in ("yes", "no")
    }


def noised_pairs(images: list[Path], noised: list[str], **options: Any) -> MinedPairs:
    answers = ["yes", "no"] * 2
    questions = [make_question(n, answers[n], image, patient=f"p{n}") for n, image in enumerate(images)]
    clean = make_outcomes(questions, ["++-", "+-+", "+++", "-++"], ["radiology"] * 4)
    return mine_pairs(
        clean, noised=make_outcomes(questions, noised, ["radiology"] * 4), noise=ImageNoise(300, 64), **options
    )


def test_copying_is_right_although_the_image_is_noised(images: list[Path]) -> None:
    # Question 0 at k = 1, question 1 at both, question 2 at neither (alone does not count), question 3 at k = 2.
    mined = noised_pairs(images, ["-+-", "-++", "+--", "--+"], kinds=["copying"], balance=False)
    assert [(pair.id, pair.chosen, pair.rejected) for pair in mined.pairs] == [
        ("q0@1/copying", "yes", "yes"),
        ("q1@1/copying", "no", "no"),
        ("q1@2/copying", "no", "no"),
        ("q3@2/copying", "no", "no"),
    ]
    assert mined.confidences == (0.5,) * 4
    pair = mined.pairs[0]
    assert not pair.one_image
    assert pair.rejected_noise == ImageNoise(300, 64).for_image(load_image(images[0]))
    assert len({pair.rejected_noise for pair in mined.pairs}) == 3, "one noise an image"


def test_copying_is_balanced_over_answers_and_cut_to_the_other_kinds(images: list[Path]) -> None:
    # One answer yes and three no are copied; over-reliance: q0 (yes) at 2, q1 (no) at 1.
    mined = noised_pairs(images, ["-+-", "-++", "---", "--+"], kinds=["copying", "over-reliance"])
    assert mined.found == {"over-reliance": 2, "copying": 4}
    assert Counter((pair.kind, pair.chosen) for pair in mined.pairs) == {
        ("over-reliance", "yes"): 1,
        ("over-reliance", "no"): 1,
        ("copying", "yes"): 1,
        ("copying", "no"): 1,
    }
    assert mined.notes == ("copying, radiology: 3 prefer 'no', 1 prefer 'yes'; 2 of these were left out for balance.",)


def test_copying_needs_noise_of_the_same_questions(images: list[Path]) -> None:
    with pytest.raises(InputError, match="need the outcomes with noised images"):
        mine([("yes", "+-")], kinds=["copying"])
    other = [make_question(9, "yes", images[0], patient="p")]
    with pytest.raises(InputError, match="other questions or contexts"):
        mine_pairs(
            table([("yes", "+-")]),
            kinds=["copying"],
            noised=make_outcomes(other, ["++"], ["x"]),
            noise=ImageNoise(),
        )


class Words(TokenBudget):
    """Counts words."""

    def count_tokens(self, text: str) -> int:
        return len(text.split())


def test_a_pair_shows_reports_as_the_model_read_them() -> None:
    outcomes = table([("yes", "+-"), ("no", "+-")])
    report = "Technique: " + "upright " * 20 + ".\nImpression: Effusion."
    near = replace(outcomes.matches[0][0], record=Record("near", "near.png", report))
    prompt = PromptTemplate("Look.", max_report_tokens=16).for_model(Words())
    read = replace(outcomes, matches=((near,), (near,)), prompt=prompt)
    for pair in mine_pairs(read, kinds=["over-reliance"]).pairs:
        assert pair.prompt.startswith("Look.\nReport [1]: … Impression: Effusion.\nQuestion: ")


def test_the_prompt_holds_the_contexts_that_misled() -> None:
    pair = mine([("yes", "++-+")], balance=False)[0]
    reports = ["Report of case 0.", "Report of case 1."]
    assert pair.prompt == PROMPT.render("Is there an effusion?", ("yes", "no"), reports)


def test_k_is_mixed_and_seeded() -> None:
    rows = [("yes", "+--------"), ("no", "+--------")] * 40
    found = mine(rows, seed=3)
    per_question = Counter(pair.question for pair in found)
    assert set(per_question.values()) == {2}
    assert {pair.k for pair in found} == set(range(1, 9))
    ks = [pair.k or 0 for pair in found]
    assert all(first < second for first, second in zip(ks[::2], ks[1::2], strict=True))
    assert mine(rows, seed=3) == found
    assert mine(rows, seed=4) != found
    assert len(mine(rows, per_question=1)) == 80


def test_a_kind_is_cut_with_its_balance_kept() -> None:
    rows = [("yes", "+--------"), ("no", "+--------")] * 40
    found = mine(rows, per_kind=31)
    assert Counter(pair.chosen for pair in found) == {"yes": 15, "no": 15}
    assert len({pair.question for pair in found}) == 30, "every question once before any twice"


def test_fewer_cases_than_k_give_no_repeated_prompts() -> None:
    found = mine([("yes", "+----")], matches=2, per_question=4, balance=False)
    assert [pair.k for pair in found] == [1, 2]


def test_both_answers_are_chosen_equally_often_in_each_domain() -> None:
    # Radiology chooses yes 8 times (4 questions) and no 3 times; pathology yes once and no twice.
    rows = [("yes", "+--")] * 4 + [("no", "+-+")] * 3 + [("yes", "+-+"), ("no", "+-+"), ("no", "++-")]
    mined = mine_pairs(table(rows, ["radiology"] * 7 + ["pathology"] * 3), kinds=["over-reliance"])
    counts = Counter((pair.domain, pair.chosen) for pair in mined.pairs)
    assert counts == {
        ("radiology", "yes"): 3,
        ("radiology", "no"): 3,
        ("pathology", "yes"): 1,
        ("pathology", "no"): 1,
    }
    assert mined.found == {"over-reliance": 14}
    # Three of the four questions keep one pair each, rather than one of them both of its own.
    assert len({pair.question for pair in mined.pairs if pair.domain == "radiology"}) == 6
    assert mined.notes[1] == (
        "over-reliance, radiology: 3 prefer 'no', 8 prefer 'yes'; 5 of these were left out for balance."
    )


def test_one_side_only_is_explained_and_can_be_kept() -> None:
    rows = [("yes", "+-+"), ("yes", "+-+")]
    with pytest.raises(InputError, match=r"0 prefer 'no', 2 prefer 'yes'.*leave balancing out"):
        mine(rows)
    assert len(mine(rows, balance=False)) == 2


def test_a_kind_that_no_question_shows_is_said() -> None:
    with pytest.raises(InputError, match="over-reliance: no question shows it"):
        mine([("yes", "+++"), ("no", "---")])
    mined = mine_pairs(table([("yes", "-+"), ("no", "-+")]), kinds=["under-use", "over-reliance"])
    assert mined.found == {"over-reliance": 0, "under-use": 2}
    assert mined.notes == ("over-reliance: no question shows it.",)


@pytest.mark.parametrize("split", ["calibrate", "test"])
def test_held_back_questions_are_refused(split: str) -> None:
    questions = [make_question(0, "yes", IMAGE, patient="p", split=split)]
    with pytest.raises(InputError, match=f"question q0: it is of the {split} split"):
        mine_pairs(make_outcomes(questions, ["+-"], ["radiology"]))


@pytest.mark.parametrize(
    ("options", "told"),
    [({"per_question": 0}, "per_question is 0"), ({"per_kind": 1}, "per_kind 1"), ({"kinds": ["hunch"]}, "hunch")],
)
def test_unsound_settings_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        mine([("yes", "+-")], **options)
