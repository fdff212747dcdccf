"""Every figure, against scikit-learn and by hand."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score

from rag import FIGURES, Bin, Judged, MeasuredRun, PolicyMeasures, Question, leaning, measure_groups, measure_judged
from rag.evaluation.metrics import Estimate
from titrate import InputError


def judged(
    answers: Sequence[str | None],
    right: list[str],
    *,
    patients: str = "",
    options: tuple[str, ...] = ("yes", "no"),
    yes: list[float] | None = None,
    alone: list[int] | None = None,
) -> Judged:
    questions = [
        Question(id=str(row), image=Path("a.png"), text="?", answer=answer, options=options,
                 patient=patients[row] if patients else str(row))
        for row, answer in enumerate(right)
    ]  # fmt: skip
    chances = [None] * len(right) if yes is None else [np.array([p, 1 - p]) for p in yes]
    known = None if alone is None else np.array(alone, dtype=np.bool_)
    return Judged(questions, answers, known, np.arange(len(right)), chances)


def value(found: dict[str, Estimate | None], name: str) -> float | None:
    figure = found[name]
    return None if figure is None else figure.value


def test_yes_or_no_as_scikit_learn_has_it() -> None:
    """Ties in the scores included."""
    rng = np.random.default_rng(3)
    yes = np.round(rng.random(60), 1).tolist()
    right = ["yes" if each else "no" for each in rng.random(60) < 0.4]
    said = ["yes" if each >= 0.5 else "no" for each in yes]
    measures = measure_judged(judged(said, right, yes=yes), rounds=20)
    found = measures.by_question
    assert measures.positive == "yes"
    assert value(found, "precision") == pytest.approx(precision_score(right, said, pos_label="yes"))
    assert value(found, "recall") == pytest.approx(recall_score(right, said, pos_label="yes"))
    assert value(found, "f1") == pytest.approx(f1_score(right, said, pos_label="yes"))
    assert value(found, "auroc") == pytest.approx(roc_auc_score([each == "yes" for each in right], yes))
    assert found == measures.by_patient  # each patient has one question


def test_other_options_by_the_mean_over_references() -> None:
    right, said = list("aabbbc"), ["a", "b", "b", "b", "d", "a"]
    measures = measure_judged(judged(said, right, options=("a", "b", "c", "d")), rounds=20)
    assert (measures.positive, measures.by_question["auroc"]) == ("macro", None)
    told = {"labels": ["a", "b", "c"], "average": "macro", "zero_division": 0.0}
    assert value(measures.by_question, "precision") == pytest.approx(precision_score(right, said, **told))
    assert value(measures.by_question, "recall") == pytest.approx(recall_score(right, said, **told))
    assert value(measures.by_question, "f1") == pytest.approx(f1_score(right, said, **told))
    oui = judged(["oui", "non"], ["oui", "oui"], options=("non", "oui"), yes=[0.1, 0.8])
    assert measure_judged(oui, rounds=5).positive == "yes"
    assert value(measure_judged(oui, rounds=5).by_question, "recall") == 0.5
    assert measure_judged(oui, rounds=5).by_question["auroc"] is None  # of one class only


def test_calibration_error_by_hand() -> None:
    """Said with 0.9, 0.9 and 0.6, of which the first and the last are right: |1.8 - 1| / 3 + |0.6 - 1| / 3."""
    found = measure_judged(judged(["yes", "no", "yes"], ["yes", "yes", "yes"], yes=[0.9, 0.1, 0.6]), rounds=5)
    assert value(found.by_question, "calibration_error") == pytest.approx(0.4)
    assert found.bins == (Bin(1, 0.6, 1.0), Bin(2, 0.9, 0.5))
    assert measure_judged(judged(["yes"], ["yes"]), rounds=5).bins is None
    sure = measure_judged(judged(["yes"], ["yes"], yes=[1.0]), rounds=5)
    assert value(sure.by_question, "calibration_error") == 0


def test_leaning_on_contexts_by_hand() -> None:
    """Right alone 1 1 0 0 1, with contexts 1 0 0 1 -: of two wrong answers one was right alone."""
    one = judged(["yes", "no", "no", "yes", None], ["yes"] * 5, alone=[1, 1, 0, 0, 1])
    found = measure_judged(one, rounds=5)
    assert found.answered == 4
    shares = {
        name: value(found.by_question, name) for name in ("over_reliance", "harm", "help", "accuracy", "coverage")
    }
    assert shares == {"over_reliance": 0.5, "harm": 0.5, "help": 0.5, "accuracy": 0.5, "coverage": 0.8}
    assert value(found.by_question, "mean_k") == 1.5  # 0 1 2 3, the last was not given
    a, b = np.array([True, True, False]), np.array([True, False, True])
    assert {name: (of & among).sum() for name, (of, among) in leaning(a, b).items()} == {
        "over_reliance": 1, "harm": 1, "help": 1,
    }  # fmt: skip
    never = measure_judged(judged(["yes"], ["yes"], alone=[1]), rounds=5)
    assert never.by_question["over_reliance"] is None
    assert measure_judged(judged([None], ["yes"]), rounds=5).by_question["accuracy"] is None


def test_patients_count_once() -> None:
    """Patient a: 1 of 1; b: 1 of 3. Questions 2 of 4, patients 2/3; the draws of two patients give 1/3 to 1."""
    found = measure_judged(judged(["yes", "yes", "no", "no"], ["yes"] * 4, patients="abbb"), rounds=200)
    assert value(found.by_question, "accuracy") == 0.5
    by_patient = found.by_patient["accuracy"]
    assert by_patient is not None
    assert (by_patient.value, by_patient.low, by_patient.high) == pytest.approx((2 / 3, 1 / 3, 1.0))
    again = measure_judged(judged(["yes", "yes", "no", "no"], ["yes"] * 4, patients="abbb"), rounds=200)
    assert again == found


def test_noise_tokens_and_open_answers() -> None:
    flags = np.array([True, False])
    one = replace(judged(["yes", "no"], ["yes", "yes"]), copied=flags, blind=~flags, tokens=np.array([10, 20]))
    found = measure_judged(one, rounds=5).by_question
    assert [value(found, name) for name in ("copy_rate", "blind_accuracy", "prompt_tokens")] == [0.5, 0.5, 15]
    opened = [replace(question, options=None, answer="left lung") for question in one.questions]
    free = replace(one, questions=opened, answers=["Left lung.", "lung"], losses=np.array([0.0, 1 / 3]))
    told = measure_judged(free, rounds=5)
    assert (told.positive, value(told.by_question, "exact_match"), told.by_question["accuracy"]) == ("open", 0.5, None)
    assert value(told.by_question, "token_f1") == pytest.approx((1 + 2 / 3) / 2)
    with pytest.raises(InputError, match="apart"):
        replace(one, questions=[opened[0], one.questions[1]])
    with pytest.raises(InputError, match="need losses"):
        replace(one, questions=opened)
    with pytest.raises(InputError, match="give one for each"):
        replace(one, answers=["yes"])


def test_groups_and_what_is_written(tmp_path: Path) -> None:
    one = judged(["yes", "no", "yes"], ["yes", "yes", "yes"])
    one = replace(
        one, questions=[replace(q, source=s) for q, s in zip(one.questions, ["s|1", "s|1", None], strict=True)]
    )
    groups = measure_groups(one, ["d", "e", "d"], rounds=5)
    assert [(domain, source, m.questions) for domain, source, m in groups] == [
        ("d", None, 2), ("e", None, 1), (None, "s|1", 2), (None, None, 3),
    ]  # fmt: skip
    run = MeasuredRun({"model": "m"}, 0, [PolicyMeasures("k = 0", *group) for group in groups], ["not available"])
    run.save(tmp_path / "measures.json")
    written = json.loads((tmp_path / "measures.json").read_text())
    assert written["measures"] == 1
    assert set(written["figures"]) == set(FIGURES) == set(written["rows"][0]["measures"]["by_patient"])
    assert written["rows"][0]["measures"]["by_question"]["accuracy"]["value"] == 1
    run.save_markdown(tmp_path / "measures.md")
    page = (tmp_path / "measures.md").read_text()
    assert "## Source s\\|1" in page
    assert "| k = 0 | 1.000 (1.000 to 1.000) | 0.667" in page
