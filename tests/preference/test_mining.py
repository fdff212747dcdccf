"""Mining on hand-made outcome tables."""

from collections import Counter
from pathlib import Path

import pytest

from preference import PreferencePair, mine_pairs
from rag import PromptTemplate
from tests.preference.tiny import make_outcomes, make_question
from titrate.errors import InputError

IMAGE = Path("image.png")
PROMPT = PromptTemplate()


def mine(
    rows: list[tuple[str, str]], *, domains: list[str] | None = None, matches: int | None = None, **options: int | bool
) -> tuple[PreferencePair, ...]:
    questions = [make_question(n, answer, IMAGE, patient=f"p{n}") for n, (answer, _) in enumerate(rows)]
    outcomes = make_outcomes(questions, [marks for _, marks in rows], domains or ["radiology"] * len(rows), matches)
    return mine_pairs(outcomes, PROMPT, **options).pairs  # type: ignore[arg-type]


def test_only_right_alone_and_wrong_with_contexts() -> None:
    found = mine([("yes", "+-+"), ("no", "++-"), ("yes", "--+"), ("no", "+++"), ("yes", "---")])
    assert [(pair.question, pair.k, pair.chosen, pair.rejected) for pair in found] == [
        ("q0", 1, "yes", "no"),
        ("q1", 2, "no", "yes"),
    ]
    pair = found[1]
    assert (pair.id, pair.kind, pair.domain, pair.patient, pair.split) == (
        "q1@2",
        "over-reliance",
        "radiology",
        "p1",
        "prefer",
    )
    assert pair.image == IMAGE


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
    assert all(first.k < second.k for first, second in zip(found[::2], found[1::2], strict=True))
    assert mine(rows, seed=3) == found
    assert mine(rows, seed=4) != found
    assert len(mine(rows, per_question=1)) == 80


def test_fewer_cases_than_k_give_no_repeated_prompts() -> None:
    found = mine([("yes", "+----")], matches=2, per_question=4, balance=False)
    assert [pair.k for pair in found] == [1, 2]


def test_both_answers_are_chosen_equally_often_in_each_domain() -> None:
    # Radiology chooses yes 8 times (4 questions) and no 3 times; pathology yes once and no twice.
    rows = [("yes", "+--")] * 4 + [("no", "+-+")] * 3 + [("yes", "+-+"), ("no", "+-+"), ("no", "++-")]
    domains = ["radiology"] * 7 + ["pathology"] * 3
    questions = [make_question(n, answer, IMAGE, patient=f"p{n}") for n, (answer, _) in enumerate(rows)]
    mined = mine_pairs(make_outcomes(questions, [marks for _, marks in rows], domains), PROMPT)
    counts = Counter((pair.domain, pair.chosen) for pair in mined.pairs)
    assert counts == {
        ("radiology", "yes"): 3,
        ("radiology", "no"): 3,
        ("pathology", "yes"): 1,
        ("pathology", "no"): 1,
    }
    assert (mined.questions, mined.found) == (10, 14)
    # Three of the four questions keep one pair each, rather than one of them both of its own.
    assert len({pair.question for pair in mined.pairs if pair.domain == "radiology"}) == 6
    assert len(mined.notes) == 2
    assert "radiology: 3 pairs choose 'no' over 'yes' and 8 the other way round, so 5 were left out" in mined.notes[1]


def test_one_side_only_is_explained_and_can_be_kept() -> None:
    rows = [("yes", "+-+"), ("yes", "+-+")]
    with pytest.raises(InputError, match=r"0 pairs choose 'no'.*turn balancing off"):
        mine(rows)
    assert len(mine(rows, balance=False)) == 2


def test_no_over_reliance_is_said() -> None:
    with pytest.raises(InputError, match="no over-reliance"):
        mine([("yes", "+++"), ("no", "---")])


@pytest.mark.parametrize("split", ["calibrate", "test"])
def test_held_back_questions_are_refused(split: str) -> None:
    questions = [make_question(0, "yes", IMAGE, patient="p", split=split)]
    with pytest.raises(InputError, match=f"question q0: it is of the {split} split"):
        mine_pairs(make_outcomes(questions, ["+-"], ["radiology"]), PROMPT)


def test_at_least_one_pair_a_question() -> None:
    with pytest.raises(InputError, match="per_question is 0"):
        mine([("yes", "+-")], per_question=0)
