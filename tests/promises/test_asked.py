"""What a question file says of its questions, and what becomes of it in a certificate."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import Run


def calibration_questions(few: Path, many: int) -> list[dict[str, Any]]:
    """The first questions of the calibrate split."""
    read = [json.loads(line) for line in few.read_text().splitlines()]
    return [question for question in read if question["split"] == "calibrate"][:many]


def write(folder: Path, questions: list[dict[str, Any]]) -> Path:
    path = folder / "questions.jsonl"
    path.write_text("".join(f"{json.dumps(question)}\n" for question in questions))
    return path


def test_the_risk_of_each_source_is_told_and_is_no_part_of_the_promise(
    run: Run, few: Path, samples: Path, models: list[object], tmp_path: Path
) -> None:
    questions = calibration_questions(few, 60)
    assert not any("source" in question for question in questions)
    for row, question in enumerate(questions):
        question["source"] = "Ward A" if row % 2 else "ward  a"
    del questions[0]["source"]
    path = write(tmp_path, questions)
    words = ["calibrate", path, "--root", samples, *models, "--max-k", 1, "--alpha", 0.99, "--report", "report.html"]
    done = run(*words)
    assert done.exit_code == 0, done.output
    made = json.loads((tmp_path / "certificate.json").read_text())
    for domain, rows in made["sources"].items():
        result = made["domains"][domain]
        assert sum(row["n_questions"] for row in rows) == result["n_questions"]
        assert {row["source"] for row in rows} <= {"ward a", None}
        (chosen,) = (
            row for row in result["policies"] if {name: row[name] for name in result["chosen"]} == result["chosen"]
        )
        if len(rows) == 1:
            assert (rows[0]["risk"], rows[0]["n_units"]) == (pytest.approx(chosen["risk"]), result["n_units"])
        assert f"In {domain} (images routed there and not declined; no question was), the model answers" in done.output
    assert made["declined"] == 0
    page = (tmp_path / "report.html").read_text()
    assert "By source, no part of the promise" in page
    assert ">ward a<" in page
    assert "not named, or of fewer than 5 patients" in page
    # Sources change no answer, so the same outcomes serve; and without them nothing is told.
    kept = len(list((tmp_path / "outcomes").iterdir()))
    for question in questions:
        question.pop("source", None)
    write(tmp_path, questions)
    assert run(*words).exit_code == 0
    assert len(list((tmp_path / "outcomes").iterdir())) == kept
    assert set(map(len, json.loads((tmp_path / "certificate.json").read_text())["sources"].values())) == {0}
    assert "By source" not in (tmp_path / "report.html").read_text()
