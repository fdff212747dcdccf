"""Metrics, baselines and the table of policies on numbers worked by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration import Certificate, DomainResult, OutcomeTable
from indexing import Match, Record
from rag import Baselines, Outcomes, PromptTemplate, Question, bootstrap_interval, evaluate, format_scores, measure
from rag.evaluation.run import _refuse_fewer
from tests.results import domain_result
from titrate import InputError


def question(
    id: str, answer: str, *, text: str = "Is it?", kind: str | None = "it", record: str | None = None, patient: str = ""
) -> Question:
    options = ("yes", "no")
    return Question(
        id=id,
        image=Path("a.png"),
        text=text,
        answer=answer,
        options=options,
        patient=patient or id,
        domain="d",
        record=record,
        kind=kind,
    )


def test_measured_by_hand() -> None:
    """Six answers, references yes yes yes yes no no: recalls 3/4 and 1/2.

    Precision of yes 3/4, of no 1/2: F1 3/4 and 1/2, mean 5/8.
    """
    metrics = measure(["yes", "yes", "yes", "no", "no", "yes"], ["yes"] * 4 + ["no"] * 2, list("aabbcc"))
    assert (metrics.questions, metrics.patients) == (6, 3)
    assert metrics.accuracy == pytest.approx(4 / 6)
    assert metrics.balanced_accuracy == pytest.approx(5 / 8)
    assert metrics.f1 == pytest.approx(5 / 8)
    # Patients score 2/2, 1/2 and 1/2; the worst and best samples of three are all 1/2 and all 1.
    assert (metrics.low, metrics.high) == pytest.approx((0.5, 1.0))


def test_an_answer_that_is_never_right() -> None:
    """Always yes: recalls 1 and 0, F1 6/7 and 0. An answer that is no reference adds no class."""
    metrics = measure(["yes"] * 4, ["yes", "yes", "yes", "no"], list("abcd"))
    assert (metrics.accuracy, metrics.balanced_accuracy) == (0.75, 0.5)
    assert metrics.f1 == pytest.approx(3 / 7)
    stray = measure(["maybe", "yes"], ["yes", "yes"], list("ab"))
    assert stray.balanced_accuracy == 0.5
    assert stray.f1 == pytest.approx(2 / 3)


def test_the_interval_draws_patients_not_questions() -> None:
    """One patient's hundred answers are one observation: no spread. A hundred patients' are a hundred."""
    values = np.array([1.0, 0.0] * 50)
    assert bootstrap_interval(values, ["a"] * 100) == (0.5, 0.5)
    low, high = bootstrap_interval(values, [str(row) for row in range(100)])
    assert (low, high) == pytest.approx((0.4, 0.6), abs=0.03)  # 0.5 -+ 1.96 sqrt(0.25 / 100)
    assert bootstrap_interval(values, ["a"] * 100, seed=3) == (0.5, 0.5)


KNOWN = [
    question("1", "no", record="r1"),
    question("2", "no", record="r2"),
    question("3", "yes", record="r3"),
    question("4", "yes", text="Seen?", record="r4"),
    question("5", "yes", text="Really seen?", record="r5"),
    question("6", "no", text="Other?", kind="other", record="r1"),
]


def test_majority_of_the_question_then_of_its_kind_then_the_first_option() -> None:
    baselines = Baselines(KNOWN)
    assert baselines.majority(question("x", "yes")) == "no"
    assert baselines.majority(question("x", "no", text="Unheard?")) == "yes"  # of its kind: no no yes yes yes
    assert baselines.majority(question("x", "yes", text="Unheard?", kind="other")) == "no"
    assert baselines.majority(question("x", "no", text="Unheard?", kind="unheard")) == "yes"
    assert Baselines([]).majority(question("x", "no")) == "yes"


def test_nearest_asked_the_same() -> None:
    baselines = Baselines(KNOWN)
    asked = question("x", "yes")
    assert baselines.nearest(asked, ["r3", "r1"]) == "yes"
    assert baselines.nearest(asked, ["unknown", "r1", "r3"]) == "no"
    assert baselines.nearest(asked, ["r4"]) == "yes"  # other words, the same kind
    assert baselines.nearest(question("x", "yes", kind=None, text="Unheard?"), ["r1"]) == "yes"  # falls to the majority
    assert baselines.nearest(asked, []) == "no"


def test_answers_that_are_no_option_are_not_given() -> None:
    odd = replace(question("o", "left", record="r1", patient="p"), options=("left", "right"))
    baselines = Baselines([odd])
    assert baselines.majority(question("x", "no")) == "yes"
    assert baselines.nearest(question("x", "no"), ["r1"]) == "yes"


def outcomes() -> Outcomes:
    """Three questions in domain a and one in domain b, at k = 0 and 1; nearest cases r1 and r3."""
    asked = (question("q1", "yes"), question("q2", "no"), question("q3", "no", patient="q2"), question("q4", "yes"))
    answers = [["yes", "no"], ["no", "no"], ["yes", "no"], ["no", "yes"]]
    losses = np.array([[0.0, 1.0], [0.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    table = OutcomeTable(
        [q.id for q in asked], [q.unit for q in asked], ["a", "a", "a", "b"], losses, np.full((4, 2), 0.9), answers
    )
    near = [(Match(Record(name, "i.png", "Report."), 0.5),) for name in ("r3", "r1", "r3", "r1")]
    return Outcomes(table, asked, tuple(near), PromptTemplate())


def certificate(**k: int | None) -> Certificate:
    def result(chosen: int | None) -> DomainResult:
        return domain_result([0.1] * 6, () if chosen is None else (chosen,), units=9)

    return Certificate(
        0.2, 0.1, "patient", "wsr", "bonferroni", {}, {}, "", {name: result(item) for name, item in k.items()}, "0"
    )


def test_every_policy_side_by_side() -> None:
    rows = evaluate(outcomes(), KNOWN, certificate(a=1, b=None))
    accuracy = {(row.domain, row.policy): row.metrics.accuracy if row.metrics else None for row in rows}
    assert accuracy == {
        ("a", "majority answer"): pytest.approx(2 / 3),
        ("a", "copy nearest report"): pytest.approx(2 / 3),
        ("a", "vote of the 8 nearest"): pytest.approx(2 / 3),
        ("a", "k = 0"): pytest.approx(2 / 3),
        ("a", "k = 1"): pytest.approx(2 / 3),
        ("a", "certified policy"): pytest.approx(2 / 3),
        ("b", "majority answer"): 0,
        ("b", "copy nearest report"): 0,
        ("b", "vote of the 8 nearest"): 0,
        ("b", "k = 0"): 0,
        ("b", "k = 1"): 1,
        ("b", "certified policy"): None,
    }
    certified = next(row for row in rows if row.domain == "a" and row.policy == "certified policy")
    k_1 = next(row for row in rows if row.domain == "a" and row.policy == "k = 1")
    assert certified.metrics == k_1.metrics
    assert k_1.metrics is not None
    assert (k_1.asked, k_1.metrics.patients) == (3, 2)
    assert k_1.metrics.balanced_accuracy == 0.5  # right on both no, wrong on the one yes


def test_a_domain_that_the_certificate_never_met_is_not_answered() -> None:
    rows = evaluate(outcomes(), KNOWN, certificate(a=0))
    assert [row.metrics for row in rows if row.domain == "b" and row.policy == "certified policy"] == [None]


def test_a_certificate_that_reads_more_than_was_scored_is_refused() -> None:
    with pytest.raises(InputError, match="reads 4 reports, scored are 1; raise max-k"):
        evaluate(outcomes(), KNOWN, certificate(a=4))


def test_without_a_train_split_baselines_are_not_available() -> None:
    """Learnt from the judged answers themselves, the majority in domain b would be right always."""
    rows = evaluate(outcomes(), [], certificate(a=1, b=0))
    told = [row for row in rows if row.policy in ("majority answer", "copy nearest report", "vote of the 8 nearest")]
    assert [row.metrics for row in told] == [None] * 6
    assert {row.note.split(":")[0] for row in told} == {"not available"}
    assert format_scores(rows).count("not available: the question file has no closed questions of a train split") == 6
    assert [row.metrics for row in rows if row.policy == "k = 0"] == [
        row.metrics for row in evaluate(outcomes(), KNOWN, None) if row.policy == "k = 0"
    ]


def test_without_a_certificate_there_is_no_certified_row() -> None:
    assert "certified policy" not in {row.policy for row in evaluate(outcomes(), KNOWN, None)}


def test_the_table_has_a_line_for_each_row() -> None:
    rows = evaluate(outcomes(), KNOWN, certificate(a=1, b=None))
    lines = format_scores(rows).splitlines()
    assert len(lines) == len(rows) + 1
    assert lines[-1].split()[:2] == ["b", "certified"]
    assert "no answer to any of" in lines[-1]
    assert "0.667" in lines[1]


def test_a_certificate_that_reads_more_than_will_be_scored_is_refused_before_scoring() -> None:
    promised = certificate(a=4, b=0)
    with pytest.raises(InputError, match="policy of a reads 4 reports, --max-k is 3; give at least 4"):
        _refuse_fewer(promised, ["b", "a"], 3)
    _refuse_fewer(promised, ["b", "a"], 4)
    _refuse_fewer(promised, ["b"], 0)
