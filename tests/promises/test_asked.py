"""What a question file says of its questions, and what becomes of it in a certificate."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from indexing import ImageView
from rag import (
    CalibrationOptions,
    QuestionOptions,
    QuestionRun,
    SystemOptions,
    TrainedImage,
    calibrate_run,
    write_trained_on,
)
from tests.command_line import Run, refused
from titrate import InputError, TitrateWarning


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


def test_open_and_closed_questions_are_never_calibrated_together(
    run: Run, few: Path, samples: Path, models: list[object], tmp_path: Path
) -> None:
    questions = calibration_questions(few, 12)
    for question in questions[:5]:
        question["options"] = None
    path = write(tmp_path, questions)
    words = ["calibrate", path, "--root", samples, *models, "--max-k", 1, "--alpha", 0.99]
    refused(run(*words, "--loss", "tokens"), "split calibrate has 7 questions with options and 5 open ones", "--loss")
    assert not (tmp_path / "certificate.json").exists()
    system = SystemOptions(index=Path(str(models[1])), mllm=str(models[3]), device="cpu")
    asked = QuestionOptions(path, samples, 1, "findings", tmp_path / "kept")
    with (
        QuestionRun.open(system, asked) as opened,
        pytest.raises(InputError, match="7 questions with options and 5 open ones; their mean vouches for neither"),
    ):
        calibrate_run(opened, "calibrate", CalibrationOptions(alpha=0.99))
    # Without a loss the open ones are left out, which is told, and the certificate covers none of them.
    done = run(*words)
    assert done.exit_code == 0, done.output
    assert "5 of 12 questions are open and left out" in done.stderr
    made = json.loads((tmp_path / "certificate.json").read_text())
    assert sum(result["n_questions"] for result in made["domains"].values()) == 7
    assert all(kind["options"] is not None for kinds in made["questions"].values() for kind in kinds)


def test_a_prior_from_patients_that_the_model_was_trained_on_is_told(
    few: Path, samples: Path, models: list[object], tmp_path: Path
) -> None:
    prefer = [q for q in map(json.loads, few.read_text().splitlines()) if q["split"] == "prefer"][:3]
    path = write(tmp_path, [*calibration_questions(few, 3), *prefer])
    model = shutil.copytree(samples / "models/mllm", tmp_path / "mllm")
    write_trained_on(model, [TrainedImage.of(samples / prefer[0]["image"], ImageView(), prefer[0]["patient"])])
    system = SystemOptions(index=Path(str(models[1])), mllm=str(model), device="cpu")
    with (
        QuestionRun.open(system, QuestionOptions(path, samples, 1, outcomes=tmp_path / "kept")) as opened,
        pytest.raises(TitrateWarning, match="trained on 1 of the 3 patients of split prefer: they say little about"),
    ):  # warnings are errors here, so that nothing is scored
        calibrate_run(opened, "calibrate", CalibrationOptions(alpha=0.99, prior_split="prefer"))
