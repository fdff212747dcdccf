"""The outcome table: its checks, and its file."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calibration import OutcomeTable
from calibration.checks import FloatArray
from titrate import InputError


def columns(**changes: Any) -> dict[str, Any]:
    return {
        "question_ids": ["q1", "q2", "q3"],
        "units": ["p1", "p1", "p2"],
        "domains": ["radiology", "pathology", "radiology"],
        "losses": np.array([[0.0, 1 / 3], [1.0, 0.1 + 0.2], [0.5, 0.0]]),
        "confidences": np.array([[0.9, 0.8], [0.7, 0.6], [0.5, 0.4]]),
        "answers": [["yes", "no"], ["no", ""], ["Ödem", "yes"]],
    } | changes


def wide(similarities: FloatArray) -> dict[str, Any]:
    """One question at k = 0, 1, 2."""
    numbers = np.zeros((1, 3))
    return {
        "question_ids": ["q"], "units": ["p"], "domains": ["d"], "losses": numbers, "confidences": numbers,
        "answers": [["a"] * 3], "similarities": similarities,
    }  # fmt: skip


def test_round_trip(tmp_path: Path) -> None:
    table = OutcomeTable(**columns())
    table.save(tmp_path / "outcomes.jsonl")
    again = OutcomeTable.load(tmp_path / "outcomes.jsonl")
    assert (again.question_ids, again.units, again.domains) == (table.question_ids, table.units, table.domains)
    assert np.array_equal(again.losses, table.losses)
    assert np.array_equal(again.confidences, table.confidences)
    assert [list(row) for row in again.answers] == table.answers
    assert again.max_k == 1
    again.save(tmp_path / "again.jsonl")
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "outcomes.jsonl").read_bytes()


def test_round_trip_with_similarities(tmp_path: Path) -> None:
    table = OutcomeTable(**columns(similarities=np.array([[0.1 + 0.2], [np.nan], [-2.0]])))
    table.save(tmp_path / "outcomes.jsonl")
    again = OutcomeTable.load(tmp_path / "outcomes.jsonl")
    assert again.similarities is not None
    assert np.array_equal(again.similarities, [[0.1 + 0.2], [np.nan], [-2.0]], equal_nan=True)
    assert again.fingerprint == table.fingerprint != OutcomeTable(**columns()).fingerprint
    part = again.select("radiology").similarities
    assert part is not None
    assert part.tolist() == [[0.1 + 0.2], [-2.0]]


def test_fingerprint_is_of_the_content_not_the_order() -> None:
    table = OutcomeTable(**columns())
    assert table.take([2, 0, 1]).fingerprint == table.fingerprint
    assert table.take([2, 0]).fingerprint != table.fingerprint
    assert OutcomeTable(**columns(units=["p1", "p2", "p2"])).fingerprint != table.fingerprint


def test_select() -> None:
    part = OutcomeTable(**columns()).select("radiology")
    assert part.question_ids == ["q1", "q3"]
    assert part.units == ["p1", "p2"]
    assert part.losses.tolist() == [[0.0, 1 / 3], [0.5, 0.0]]
    assert part.answers == [["yes", "no"], ["Ödem", "yes"]]
    with pytest.raises(InputError, match="dermatology; it can be pathology, radiology"):
        OutcomeTable(**columns()).select("dermatology")


def test_a_table_cannot_be_changed() -> None:
    losses = np.zeros((3, 2))
    table = OutcomeTable(**columns(losses=losses))
    losses[0, 0] = 1
    assert table.losses[0, 0] == 0
    with pytest.raises(ValueError, match="read-only"):
        table.losses[0, 0] = 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"losses": np.full((3, 2), 1.01)}, "losses must lie"),
        ({"losses": np.full((3, 2), np.nan)}, "losses must lie"),
        ({"losses": np.zeros((3, 3))}, "one for each"),
        ({"losses": np.empty((0, 2))}, "losses are empty"),
        ({"confidences": np.full((3, 2), -0.1)}, "confidences must lie"),
        ({"units": ["p1"]}, "1 units for 3 rows"),
        ({"domains": []}, "0 domains for 3 rows"),
        ({"question_ids": ["q1", "q2", "q1"]}, "question q1 comes twice"),
        ({"answers": [["yes", "no"]] * 2}, "2 answers for 3 rows"),
        ({"answers": [["yes", "no"], ["no"], ["yes", "no"]]}, "2 answers"),
        ({"similarities": np.zeros((3, 2))}, r"similarities are \(3, 2\); give 1"),
        ({"similarities": np.array([[1.0], [np.inf], [1.0]])}, "finite and come best first"),
        (wide(np.array([[1.0, 2.0]])), "finite and come best first"),
        (wide(np.array([[np.nan, 2.0]])), "NaN only after the last"),
    ],
)
def test_tables_that_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        OutcomeTable(**columns(**changes))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"losses": [0.0, 2.0]}, "line 2: losses is not a number in"),
        ({"losses": [0.0, float("nan")]}, "line 2: losses is not a number in"),
        ({"losses": [0.0, True]}, "line 2: losses is not a number in"),
        ({"losses": [0.0]}, "line 2: expected 2 losses"),
        ({"confidences": 0.3}, "line 2: confidences is not a list"),
        ({"answers": ["yes", 1]}, "line 2: answers is not text"),
        ({"unit": ""}, "line 2: unit is not text"),
        ({"colour": "red"}, "line 2: has unknown colour"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = tmp_path / "outcomes.jsonl"
    OutcomeTable(**columns()).save(path)
    lines = path.read_text().splitlines()
    lines[1] = json.dumps(json.loads(lines[1]) | change)
    path.write_text("\n".join(lines))
    with pytest.raises(InputError, match=message):
        OutcomeTable.load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"similarities": [1.0, 0.5]}, "line 2: more than 1 similarities"),
        ({"similarities": [float("nan")]}, "line 2: similarities is not a finite number"),
        ({"similarities": [float("-inf")]}, "line 2: similarities is not a finite number"),
        ({"similarities": "high"}, "line 2: similarities is not a list"),
        ({}, "line 2: lacks similarities"),
    ],
)
def test_similarities_that_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = tmp_path / "outcomes.jsonl"
    OutcomeTable(**columns(similarities=np.zeros((3, 1)))).save(path)
    lines = path.read_text().splitlines()
    row = json.loads(lines[1])
    del row["similarities"]
    lines[1] = json.dumps(row | change)
    path.write_text("\n".join(lines))
    with pytest.raises(InputError, match=message):
        OutcomeTable.load(path)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(InputError, match="holds no questions"):
        OutcomeTable.load(tmp_path / "empty.jsonl")
    with pytest.raises(InputError, match="cannot read"):
        OutcomeTable.load(tmp_path / "missing.jsonl")
    with pytest.raises(InputError, match="cannot write"):
        OutcomeTable(**columns()).save(tmp_path / "missing" / "outcomes.jsonl")
