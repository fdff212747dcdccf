"""What a certificate tells beside its promise: the risk over questions, and by where the questions come from."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration import FINGERPRINTS, SMALLEST_SOURCE, Certificate, OutcomeTable, SourceRisk, certify

PRINTS = dict.fromkeys(FINGERPRINTS, "1")


def table(units: Sequence[str], losses: Sequence[float], confidences: Sequence[float] | None = None) -> OutcomeTable:
    """A question a row, answered without reports."""
    return OutcomeTable(
        question_ids=[f"q{row}" for row in range(len(units))],
        units=units,
        domains=["radiology"] * len(units),
        losses=np.array(losses, dtype=float)[:, None],
        confidences=np.array(confidences or [1.0] * len(units))[:, None],
        answers=[["yes"]] * len(units),
    )


def test_each_question_counts_once_in_question_risk() -> None:
    # Patient a: 3 wrong of 3. Nine patients: right, one question each. Over patients 1/10, over questions 3/12.
    made = table(["a"] * 3 + [f"p{row}" for row in range(9)], [1.0] * 3 + [0.0] * 9)
    row = certify(made, alpha=0.4, delta=0.1, fingerprints=PRINTS).domains["radiology"].policies[0]
    assert (row.risk, row.question_risk) == (0.1, 0.25)


def test_question_risk_is_of_the_answers_given() -> None:
    # tau = 0.5 answers one question of a (wrong) of four, and both of b (right): 1 wrong of 3 answers over questions;
    # over patients (1/4 + 0) / (1/4 + 1) = 1/5. tau = 1 answers nothing.
    made = table(["a"] * 4 + ["b"] * 2, [1.0] * 4 + [0.0] * 2, [0.9, 0.1, 0.1, 0.1, 0.9, 0.9])
    found = certify(made, alpha=0.4, delta=0.1, fingerprints=PRINTS, taus=(0.5, 1.0)).domains["radiology"].policies
    assert [row.policy.tau for row in found] == [0.0, 0.5, 1.0]
    assert [row.question_risk for row in found] == [pytest.approx(4 / 6), pytest.approx(1 / 3), 1.0]
    assert [row.risk for row in found] == [0.5, pytest.approx(1 / 5), 1.0]


def by_source(made: OutcomeTable, sources: Sequence[str | None], taus: tuple[float, ...] = ()) -> list[SourceRisk]:
    result = certify(made, alpha=0.4, delta=0.1, fingerprints=PRINTS, taus=taus).domains["radiology"]
    return list(SourceRisk.measure(made, sources, result, 0.4))


def test_the_risk_of_each_source_by_hand() -> None:
    # East: five patients, two questions of the first wrong of two, so 1/5. West: six, of one question each, 3 wrong.
    units = ["e0", "e0", "e1", "e2", "e3", "e4", *(f"w{row}" for row in range(6)), "x"]
    losses = [1, 1, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 1]
    sources = ["East"] * 6 + ["west"] * 6 + [None]
    east, west, none = by_source(table(units, losses), sources)
    assert (east.source, east.n_units, east.n_questions, east.risk) == ("east", 5, 6, 0.2)
    assert (west.source, west.n_units, west.n_questions, west.risk) == ("west", 6, 6, 0.5)
    assert (none.source, none.n_units, none.n_questions, none.risk) == (None, 1, 1, 1.0)
    assert east.interval[0] <= east.risk <= east.interval[1]
    assert {row.coverage for row in (east, west, none)} == {1.0}


def test_one_source_however_it_is_written() -> None:
    units = [f"p{row}" for row in range(6)]
    sources = ["MIMIC CXR", "mimic cxr", " Mimic  CXR", "MIMIC CXR", "mimic\u00a0cxr", "\uff2dIMIC CXR"]
    (only,) = by_source(table(units, [0.0] * 6), sources)
    assert (only.source, only.n_units) == ("mimic cxr", 6)


def test_sources_of_few_patients_are_not_named() -> None:
    few = SMALLEST_SOURCE - 1
    units = [f"a{row}" for row in range(few)] * 3 + [f"b{row}" for row in range(5)]
    made = table(units, [1.0] * few * 3 + [0.0] * 5)
    named, others = by_source(made, ["a patient's name"] * few * 3 + ["b"] * 5)
    assert (named.source, named.risk) == ("b", 0.0)
    assert (others.source, others.n_units, others.n_questions, others.risk) == (None, few, 3 * few, 1.0)


def test_a_patient_of_two_sources_counts_in_both_and_an_unanswered_source_has_risk_1() -> None:
    units = [f"p{row}" for row in range(5)] * 2
    made = table(units, [0.0] * 5 + [1.0] * 5, [0.9] * 5 + [0.1] * 5)
    answered, declined = by_source(made, ["a"] * 5 + ["b"] * 5, taus=(0.5,))
    assert (answered.n_units, declined.n_units) == (5, 5)
    assert (answered.risk, answered.coverage) == (0.0, 1.0)
    assert (declined.risk, declined.coverage) in [(1.0, 0.0), (1.0, 1.0)]  # as the best policy has the threshold or not


def test_no_source_named_no_rows() -> None:
    assert by_source(table(["p"], [0.0]), [None]) == []


def test_sources_stand_in_the_file(tmp_path: Path) -> None:
    units = [f"p{row}" for row in range(12)]
    made = table(units, [0.0] * 12)
    certificate = certify(made, alpha=0.4, delta=0.1, fingerprints=PRINTS)
    rows = SourceRisk.measure(made, ["a"] * 6 + [None] * 6, certificate.domains["radiology"], 0.4)
    with_sources = replace(certificate, sources={"radiology": rows})
    with_sources.save(tmp_path / "certificate.json")
    assert Certificate.load(tmp_path / "certificate.json") == with_sources
    assert [row.source for row in rows] == ["a", None]
