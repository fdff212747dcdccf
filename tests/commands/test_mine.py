"""`titrate mine` as a user meets it: pairs of copying whose noise lies on a lesion alone."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli import main
from commands.mine import KINDS, USUAL
from preference import DEFAULT_KINDS, MINED_KINDS, read_pairs


@pytest.fixture
def questions(samples: Path, tmp_path: Path) -> Path:
    """Give forty closed questions of the prefer split, half with answer yes, and one of the indexed split."""
    lines = (samples / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    closed = [(line, json.loads(line)) for line in lines if json.loads(line)["options"]]
    kept = []
    for answer in ("yes", "no"):
        kept += [
            line for line, q in closed if (q["split"], q["domain"], q["answer"]) == ("prefer", "radiology", answer)
        ][:20]
    kept += [line for line, question in closed if question["split"] == "train"][:1]
    (tmp_path / "questions.jsonl").write_text("\n".join(kept) + "\n", encoding="utf-8")
    return tmp_path / "questions.jsonl"


def mine(questions: Path, samples: Path, index_folder: Path, *more: object) -> Result:
    folder = questions.parent
    words = [
        questions,
        "--root",
        samples,
        "--index",
        index_folder,
        "--mllm",
        samples / "models/mllm",
        "--device",
        "cpu",
    ]
    words += ["--max-k", 1, "--outcomes", folder / "outcomes", "--out", folder / "pairs.jsonl", *more]
    return CliRunner().invoke(main, ["mine", *map(str, words)], catch_exceptions=False)


def test_copying_with_noise_on_a_drawn_lesion(questions: Path, samples: Path, index_folder: Path) -> None:
    asked = [json.loads(line) for line in questions.read_text(encoding="utf-8").splitlines()]
    boxes = questions.parent / "boxes.jsonl"
    boxes.write_text("".join(json.dumps({"image": q["image"], "box": [0, 0, 10, 20]}) + "\n" for q in asked))
    lesion = ("--kind", "copying", "--per-kind", 4, "--noise", "lesion", "--regions", boxes, "--no-balance")
    result = mine(questions, samples, index_folder, *lesion)
    assert result.exit_code == 0, result.output
    assert "copy-reference rate" in result.stdout
    pairs = read_pairs(questions.parent / "pairs.jsonl", root=samples)
    assert 1 <= len(pairs) <= 4
    for pair in pairs:
        noise = pair.rejected_noise
        assert noise is not None and noise.side == 192, "what the model reads"
        assert noise.region is not None
        assert noise.region[:2] == (0.0, 0.0)
        assert 0 < noise.region[2] < 1 and 0 < noise.region[3] < 1
        assert 0.75 <= pair.weight <= 1.25
    assert mine(questions, samples, index_folder, *lesion, "--weights", "none").exit_code == 0
    assert {pair.weight for pair in read_pairs(questions.parent / "pairs.jsonl", root=samples)} == {1.0}


def test_regions_without_their_noise_are_refused(questions: Path, samples: Path, index_folder: Path) -> None:
    result = mine(questions, samples, index_folder, "--regions", questions)
    assert result.exit_code == 2
    assert "--noise lesion" in result.stderr


def test_what_is_wrong_is_refused_before_the_model_is_opened(questions: Path, samples: Path, tmp_path: Path) -> None:
    lost = mine(questions, samples, tmp_path / "no-index", "--noise", "lesion", "--regions", tmp_path / "lost.jsonl")
    assert (lost.exit_code, "lost.jsonl" in lost.stderr) == (2, True)
    high = mine(questions, samples, tmp_path / "no-index", "--k", 2)
    assert (high.exit_code, "k = 2 is outside the outcome table (0 to 1)" in high.stderr) == (2, True)


def test_the_options_name_every_kind() -> None:
    assert sorted(KINDS) == sorted(MINED_KINDS)
    assert USUAL == DEFAULT_KINDS
