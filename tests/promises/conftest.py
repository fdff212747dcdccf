"""The index and the model of the samples, as options of the command line, and a certificate made with them."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli import main


@pytest.fixture(scope="session")
def models(samples: Path, index_folder: Path) -> list[object]:
    """Give the options that name the index and the model."""
    return ["--index", index_folder, "--mllm", samples / "models/mllm", "--device", "cpu"]


@pytest.fixture(scope="session")
def few(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a file with some closed questions of each split, of as many patients as possible."""
    wanted = {"train": 40, "prefer": 60, "calibrate": 60, "test": 30}
    kept, patients = [], set()
    for line in (samples / "questions.jsonl").read_text().splitlines():
        question = json.loads(line)
        if question["options"] and wanted[question["split"]] and question["patient"] not in patients:
            wanted[question["split"]] -= 1
            patients.add(question["patient"])
            kept.append(line)
    file = tmp_path_factory.mktemp("few") / "questions.jsonl"
    file.write_text("\n".join(kept) + "\n")
    return file


@pytest.fixture(scope="session")
def certificate(few: Path, samples: Path, models: list[object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a certificate at a risk that any model keeps."""
    out = tmp_path_factory.mktemp("certificate") / "certificate.json"
    words = ["calibrate", few, "--root", samples, *models, "--alpha", 0.99, "--max-k", 2, "--out", out]
    result = CliRunner().invoke(main, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return out
