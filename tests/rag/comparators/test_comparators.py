"""Comparators on outcomes worked by hand."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration import Choices, OutcomeTable, Policy, hoeffding_bentkus_p_value
from indexing import Match, Record
from rag import Answered, Baselines, Outcomes, PromptTemplate, Question, Trial, answer_all, every_comparator
from rag.comparators.fixed import Fixed
from rag.comparators.ours import AfterTraining, CertifiedPolicy, Selective
from rag.comparators.predecessors import CodeCut, RuleAsWritten, kept_by_ratio, paper_cut, rule_as_practised
from rag.comparators.without_model import MAJORITY, NEAREST, VOTE, WithoutModel
from titrate import InputError

CASES = ("r1", "r2", "r3")


def asked(name: str, answer: str, *, patient: str = "", record: str | None = None, text: str = "Is it?") -> Question:
    return Question(
        id=name, image=Path("a.png"), text=text, answer=answer, options=("yes", "no"), patient=patient or name,
        kind="it", record=record,
    )  # fmt: skip


def outcomes(
    chances: Mapping[str, tuple[float, ...]],
    *,
    answers: dict[str, str] | None = None,
    domain: str = "a",
    similarities: tuple[float, ...] | None = None,
    patient: str = "",
) -> Outcomes:
    """Questions by name with the chance of yes at each k; all are answered no unless said otherwise."""
    questions = tuple(asked(name, (answers or {}).get(name, "no"), patient=patient) for name in chances)
    yes = np.array(list(chances.values()))
    choices = []
    for row, question in enumerate(questions):
        logs = np.log(np.stack([yes[row], 1 - yes[row]], axis=1))
        choices.append(Choices(("yes", "no"), logs, np.array([float(o != question.answer) for o in ("yes", "no")])))
    said = [["yes" if chance >= 0.5 else "no" for chance in row] for row in yes]
    losses = [[float(text != q.answer) for text in row] for q, row in zip(questions, said, strict=True)]
    found = None if similarities is None else np.tile(np.array(similarities, dtype=np.float64), (len(questions), 1))
    table = OutcomeTable(
        [q.id for q in questions], [q.unit for q in questions], [domain] * len(questions), np.array(losses),
        np.maximum(yes, 1 - yes), said, found, choices,
    )  # fmt: skip
    near = tuple(Match(Record(name, "i.png", "Report."), 0.5) for name in CASES)
    return Outcomes(table, questions, (near,) * len(questions), PromptTemplate())


JUDGED = {"q1": (0.8, 0.3, 0.1), "q2": (0.2, 0.6, 0.4)}
"""Right, as the answer is no: q1 with 1 and 2 contexts, q2 with none and with 2."""


def many(prefix: str, wrong: tuple[int, int, int], of: int = 100) -> dict[str, tuple[float, ...]]:
    """So many questions, of which so many are wrong with 0, 1 and 2 contexts."""
    return {f"{prefix}{row}": tuple(0.9 if row < bad else 0.1 for bad in wrong) for row in range(of)}


def test_the_vote_of_the_nearest_that_were_asked_the_same() -> None:
    known = [asked("1", "yes", record="r1"), asked("2", "no", record="r2"), asked("3", "no", record="r3")]
    known.append(replace(asked("4", "yes", record="r4"), options=("yes", "maybe"), kind="other", text="Or is it?"))
    baselines = Baselines(known)
    answer, shares = baselines.vote(asked("x", "yes"), ["r4", "r1", "r2", "r3"])
    assert answer == "no"
    assert shares is not None
    assert shares.tolist() == pytest.approx([1 / 3, 2 / 3])
    assert baselines.vote(asked("x", "yes"), ["r1", "r2"])[0] == "yes"  # one each: the nearer one
    assert baselines.vote(asked("x", "yes"), ["r2", "r1"])[0] == "no"
    assert baselines.vote(asked("x", "yes"), ["r1", "r2", "r3"], voters=1)[0] == "yes"
    assert baselines.vote(asked("x", "yes"), ["r9"]) == ("no", None)  # nobody votes: the commonest answer


def test_without_a_model() -> None:
    known = [asked("1", "yes", record="r1"), asked("2", "no", record="r2"), asked("3", "no", record="r3")]
    trial = Trial(outcomes(JUDGED), known=known, near=[["r1"], ["r1", "r2", "r3"]])
    answers = [WithoutModel(name).answer(trial).answers for name in (MAJORITY, NEAREST, VOTE)]
    assert answers == [("no", "no"), ("yes", "yes"), ("yes", "no")]
    nothing = WithoutModel(VOTE).answer(Trial(outcomes(JUDGED)))
    assert nothing.answers == (None, None)
    assert "train split" in nothing.note


def test_fixed_k_reads_the_table() -> None:
    trial = Trial(outcomes(JUDGED, similarities=(5.0, np.nan)))
    alone, both = Fixed(0).answer(trial), Fixed(2).answer(trial)
    assert (alone.comparator, alone.answers, alone.right(trial.judged).tolist()) == (
        "no retrieval", ("yes", "no"), [False, True],
    )  # fmt: skip
    assert both.contexts.tolist() == [1, 1]  # there is no second one
    assert alone.probabilities[0] is not None
    assert alone.probabilities[0].tolist() == pytest.approx([0.8, 0.2])
    assert "raise max-k" in Fixed(3).answer(trial).note


def test_rule_as_practised_takes_the_least_error_and_promises_nothing() -> None:
    trial = Trial(outcomes(JUDGED), outcomes(many("c", (30, 20, 20))))
    given = rule_as_practised().answer(trial)
    assert given.choices["a"].policy == Policy(1)
    assert not given.choices["a"].promised
    assert given.answers == ("no", "yes")


def test_rule_as_written_tests_each_question_with_bonferroni() -> None:
    """Of 100 questions 5 wrong at alpha 0.15: p = 0.0044, which passes at 0.1 / 3; 20 wrong do not."""
    p = hoeffding_bentkus_p_value(np.array([[1.0]] * 5 + [[0.0]] * 95), 0.15)
    assert 0.001 < p[0] < 0.1 / 3
    trial = Trial(outcomes(JUDGED), outcomes(many("c", (20, 20, 5)), patient="one patient"))
    given = RuleAsWritten(0.15, 0.1).answer(trial)
    assert (given.choices["a"].policy, given.choices["a"].promised) == (Policy(2), True)
    none = RuleAsWritten(0.04, 0.1).answer(trial)
    assert (none.answers, none.choices["a"].promised) == ((None, None), False)


def test_the_cut_of_the_paper_is_chosen_by_the_error_before() -> None:
    """Similarities 5, 4.3: a fall of 0.7. With one context nobody errs, with two all do: cut at 0.5."""
    before = outcomes(many("c", (0, 0, 100)), similarities=(5.0, 4.3))
    given = paper_cut().answer(Trial(outcomes(JUDGED, similarities=(5.0, 4.9)), before))
    assert given.choices["a"].policy == Policy(2, gamma=0.5)
    assert given.contexts.tolist() == [2, 2]
    assert "similarities" in paper_cut().answer(Trial(outcomes(JUDGED), outcomes(many("c", (0, 0, 1))))).note


def test_the_cut_of_the_code_keeps_what_is_nothing_like_the_image() -> None:
    assert kept_by_ratio([30, 25, 10, 5, -1, -20], 1.5) == [0, 1, 4, 5]
    assert kept_by_ratio([], 1.5) == []
    assert kept_by_ratio([3.0, 0.0], 1.5) == [0]
    first = CodeCut().answer(Trial(outcomes(JUDGED, similarities=(30.0, 10.0))))
    assert (first.contexts.tolist(), first.answers) == ([1, 1], ("no", "yes"))
    other = CodeCut().answer(Trial(outcomes({"q": (0.1, 0.1, 0.1, 0.1)}, similarities=(30.0, 10.0, -1.0))))
    assert other.answers == (None,)
    assert "1 of 1 would read others" in other.choices["a"].told
    assert CodeCut().answer(Trial(outcomes(JUDGED))).note


def test_certified_where_the_evidence_is_enough_and_else_silent() -> None:
    trial = Trial(outcomes(JUDGED), outcomes(many("c", (40, 2, 40))))
    given = CertifiedPolicy(0.2, 0.1, combined=False).answer(trial)
    assert (given.choices["a"].policy, given.choices["a"].promised) == (Policy(1), True)
    assert given.answers == ("no", "yes")
    silent = CertifiedPolicy(0.01, 0.1).answer(trial)
    assert silent.answers == (None, None)
    assert "nothing certified" in silent.choices["a"].told
    elsewhere = CertifiedPolicy(0.2, 0.1).answer(Trial(outcomes(JUDGED, domain="b"), trial.calibrate))
    assert elsewhere.answers == (None, None)


def test_answers_to_the_surest_only() -> None:
    """Ten before, all the same at every k: 8 sure and right, 2 unsure and wrong. 80 %: a threshold of 0.9, risk 0."""
    sure = {f"p{row}": (0.1,) * 3 for row in range(8)} | {f"p{row}": (0.6,) * 3 for row in (8, 9)}
    later = {f"c{row}": (0.1,) * 3 for row in range(80)} | {f"c{row}": (0.6,) * 3 for row in range(80, 100)}
    trial = Trial(outcomes({"q1": (0.05,) * 3, "q2": (0.3,) * 3}), outcomes(later), outcomes(sure))
    given = Selective(0.8, 0.1, 0.1).answer(trial)
    policy = given.choices["a"].policy
    assert policy is not None
    assert policy.k == 0
    assert policy.tau == pytest.approx(0.9)
    assert given.choices["a"].promised
    assert given.answers == ("no", None)
    whole = Selective(1.0, 0.1, 0.1).answer(trial)  # all are answered, a fifth wrong: told, and not promised
    assert (whole.answers, whole.choices["a"].promised) == (("no", "no"), False)
    assert "prefer" in Selective(0.8, 0.1, 0.1).answer(Trial(trial.judged, trial.calibrate)).note


def test_another_model_answers_the_same_questions() -> None:
    trial, tuned = Trial(outcomes(JUDGED)), Trial(outcomes({name: (0.1,) * 3 for name in JUDGED}))
    given = AfterTraining(Fixed(0), tuned).answer(trial)
    assert (given.comparator, given.answers) == ("no retrieval + DPO", ("no", "no"))
    with pytest.raises(InputError, match="other questions"):
        AfterTraining(Fixed(0), Trial(outcomes({"q1": (0.1,) * 3}))).answer(trial)


def test_all_answer_the_same_questions() -> None:
    trial = Trial(
        outcomes(JUDGED, similarities=(5.0, 4.0)),
        outcomes(many("c", (40, 2, 40)), similarities=(5.0, 4.0)),
        outcomes(many("p", (40, 2, 40), 20), similarities=(5.0, 4.0)),
        [asked("1", "yes", record="r1")],
    )
    given = answer_all(trial, alpha=0.2, delta=0.1, tuned=Trial(outcomes(JUDGED), trial.calibrate))
    assert len({one.comparator for one in given}) == len(given) == len(every_comparator(2, 0.2, 0.1, trial)) == 18
    assert not [one.note for one in given if one.note]
    assert all(isinstance(one, Answered) and len(one.answers) == len(one.contexts) == 2 for one in given)
    unsure = [one.comparator for one in given if not any(one.answered)]  # 0.8 at most, and 0.9 before
    assert unsure == ["the surest 95%", "the surest 90%", "the surest 80%"]
    assert all(all(one.answered) for one in given if one.comparator not in unsure)


@pytest.mark.parametrize("where", ["calibrate", "prefer", "known"])
def test_who_is_judged_is_nobody_that_was_chosen_by(where: str) -> None:
    other = {"q1": (0.1,) * 3}
    given = {"known": [asked("q1", "no")]} if where == "known" else {where: outcomes(other)}
    with pytest.raises(InputError, match="a patient is in both"):
        Trial(outcomes(JUDGED), **given)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(InputError, match="another k"):
        Trial(outcomes(JUDGED), outcomes({"c": (0.1, 0.1)}))
    with pytest.raises(InputError, match="nearest records"):
        Trial(outcomes(JUDGED), near=[["r1"]])
    judged = outcomes(JUDGED)
    free = replace(judged, questions=tuple(replace(question, options=None) for question in judged.questions))
    with pytest.raises(InputError, match="closed"):
        Trial(free)
