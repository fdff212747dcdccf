"""A window set by hand: a certificate made with it holds for asking with it, and for nothing else."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cli import main
from indexing import Encoder, ImageView, Index
from rag import read_questions, retrieve
from tests.indexing.dicom_files import image_file
from tests.preference.tiny import make_mllm

WINDOW = ["--window", "300,200"]
Run = Callable[..., Result]


@pytest.fixture(scope="module")
def folder(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of three DICOM files of 12 bits, 16 questions about others, and a model."""
    made = tmp_path_factory.mktemp("window")
    (made / "corpus").mkdir()
    rng, lines = np.random.default_rng(0), []
    for number in range(19):
        pixels = (rng.integers(0, 600, (32, 32)) * rng.integers(1, 8, (32, 1)) % 4096).astype(np.uint16)
        name = f"corpus/{number}" if number < 3 else str(number)
        (made / f"{name}.dcm").write_bytes(image_file(pixels, PatientID=f"p{number}"))
        (made / f"{name}.txt").write_text(f"Report {number}.")
        line: dict[str, Any] = {"id": f"q{number}", "image": f"{number}.dcm", "question": "Is it?"}
        lines += [line | {"answer": ["yes", "no"][number % 2], "options": ["yes", "no"], "patient": f"q{number}"}]
    (made / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines[3:]))
    make_mllm(made / "mllm", seed=3)
    encoder = f"local-dir:{samples / 'models/encoder'}"
    words = ["index", made / "corpus", "--index", made / "index", "--encoder", encoder, "--device", "cpu"]
    result = CliRunner().invoke(main, [*map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return made


@pytest.fixture
def run(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)

    def invoke(*words: object) -> Result:
        known = [*words, "--index", folder / "index", "--mllm", folder / "mllm", "--device", "cpu"]
        return CliRunner().invoke(main, [str(word) for word in known], catch_exceptions=False)

    return invoke


def test_a_certificate_holds_for_its_own_window_only(run: Run, folder: Path) -> None:
    made = run("calibrate", folder / "questions.jsonl", *WINDOW, "--alpha", 0.99, "--max-k", 1)
    assert made.exit_code == 0, made.output
    ask = ["ask", folder / "5.dcm", "Is it?", "--options", "yes,no", "--certificate", "certificate.json", "--json"]
    same = run(*ask, *WINDOW)
    assert same.exit_code == 0 and json.loads(same.stdout)["certified"]
    judge = ["evaluate", folder / "questions.jsonl", "--max-k", 1, "--certificate", "certificate.json", "--json"]
    assert run(*judge, *WINDOW).exit_code == 0
    for words in (ask, judge):
        for other in ([], ["--window", "300,201"], [*WINDOW, "--frame", 0]):
            refused = run(*words, *other)
            assert refused.exit_code == 2
            assert (
                "the window, frame or decoding of images changed since calibration; run calibrate again"
                in refused.stderr
            )


def test_questions_are_retrieved_and_answered_as_they_would_be_asked(run: Run, folder: Path, samples: Path) -> None:
    encoder = Encoder.open(f"local-dir:{samples / 'models/encoder'}", "cpu")
    questions = read_questions(folder / "questions.jsonl")
    with Index.open(folder / "index") as index:
        plain = retrieve(index, encoder, questions, 3)
        windowed = retrieve(index, encoder, questions, 3, view=ImageView((300.0, 200.0)))
    assert (plain.view, windowed.view) == (ImageView(), ImageView((300.0, 200.0)))
    by_question = {}
    for question, own, other in zip(windowed.questions, windowed.matches, plain.matches, strict=True):
        by_question[question.id] = [match.similarity for match in own]
        assert by_question[question.id] != [match.similarity for match in other]
    answer = json.loads(run("ask", folder / "5.dcm", "Is it?", "--patient", "q5", "--k", 3, *WINDOW, "--json").stdout)
    found = [context["similarity"] for context in answer["contexts"]]
    assert found == pytest.approx(by_question["q5"], abs=1e-4)


def test_outcomes_of_another_window_are_not_taken_for_its_own(run: Run, folder: Path, tmp_path: Path) -> None:
    judge = ["evaluate", folder / "questions.jsonl", "--max-k", 1, "--json"]
    for words in (WINDOW, [], WINDOW):
        assert run(*judge, *words).exit_code == 0
    assert len(list((tmp_path / "outcomes").iterdir())) == 2
