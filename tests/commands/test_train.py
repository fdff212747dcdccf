"""`titrate train` as a user meets it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result

from preference import PreferencePair, write_pairs
from rag import TransformersMLLM
from tests.command_line import Run
from tests.preference.tiny import make_mllm, make_pairs, sample_images


@pytest.fixture(scope="module")
def mllm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_mllm(tmp_path_factory.mktemp("mllm"))


@pytest.fixture(scope="module")
def pairs(samples: Path) -> list[PreferencePair]:
    return make_pairs(sample_images(samples, 4))


@pytest.fixture(scope="module")
def pair_file(samples: Path, pairs: list[PreferencePair], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    write_pairs(pairs, path, root=samples)
    return path


@pytest.fixture
def train(run: Run, pair_file: Path, samples: Path, mllm_folder: Path) -> Run:
    """Give a function that trains the tiny model."""

    def invoke(*words: object, file: Path = pair_file) -> Result:
        return run("train", file, "--root", samples, "--mllm", mllm_folder, "--device", "cpu", "--max-steps", 2, *words)

    return invoke


def refused(result: Result, *words: str) -> None:
    assert result.exit_code == 2, result.output
    for word in words:
        assert word in result.stderr, result.stderr
    assert "Traceback" not in result.stderr


def test_options_reach_the_training(train: Run, tmp_path: Path) -> None:
    result = train(
        "--loss-type", "ipo", "--loss-type", "sft=0.25", "--hold-out", 0.25, "--accumulate", 2, "--merge", "m"
    )
    assert result.exit_code == 0, result.output
    assert "3 pairs, 2 steps: loss " in result.stdout
    assert "1 held-out pairs: loss " in result.stdout
    assert result.stdout.endswith("; adapter: adapter; merged model: m\n")
    card = (tmp_path / "adapter" / "README.md").read_text()
    for line in ("losses: {'ipo': 1.0, 'sft': 0.25}", "accumulate: 2", "hold_out: 0.25", "learning_rate: 0.0001"):
        assert f"- {line}\n" in card
    assert TransformersMLLM.open(str(tmp_path / "m"), device="cpu")


def test_all_weights(train: Run, tmp_path: Path) -> None:
    result = train("--full", "--hold-out", 0, "--out", "model", "--window", "40,400", "--frame", 0)
    assert result.exit_code == 0, result.output
    assert result.stdout.endswith("; model: model\n")
    assert TransformersMLLM.open(str(tmp_path / "model"), device="cpu")
    assert "- learning_rate: 1e-06\n" in (tmp_path / "model" / "README.md").read_text()


def test_bad_pairs(train: Run, pair_file: Path, tmp_path: Path) -> None:
    values = [json.loads(line) for line in pair_file.read_text().splitlines()]
    values[1]["image"] = "images/nowhere.png"
    values[2]["rejected"] = values[2]["chosen"]
    values[3]["rejected"] = "no <image>"
    bad = tmp_path / "bad.jsonl"
    bad.write_text("".join(json.dumps(value) + "\n" for value in [*values, {**values[0], "id": "other"}]))
    refused(train(file=bad), "bad.jsonl, line 2", "nowhere.png")
    assert not (tmp_path / "adapter").exists()
    result = train("--skip-bad", "--hold-out", 0, file=bad)
    assert result.exit_code == 0, result.output
    assert "2 pairs, 2 steps" in result.stdout and "; 3 bad pairs left out" in result.stdout
    for words in ("line 2: image", "line 3: chosen and rejected are both", f"pair {values[3]['id']}: answer"):
        assert words in result.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--loss-type", "sft=much"], "'sft=much' is not NAME or NAME=FACTOR"),
        (["--loss-type", "dpo"], "losses are dpo; give"),
        (["--loss-type", "robust"], "label_smoothing is 0.0"),
        (["--hold-out", 1], "hold-out"),
        (["--full", "--merge", "m"], "nothing to merge"),
        (["--alpha", 0.2], "go with --then-calibrate"),
        (["--then-calibrate", "questions.jsonl"], "Missing option '--alpha'"),
        (["--then-calibrate", "questions.jsonl", "--alpha", 0.2], "questions.jsonl does not exist"),
    ],
)
def test_wrong_words_are_refused_before_anything_happens(
    train: Run, tmp_path: Path, words: list[object], told: str
) -> None:
    refused(train(*words), told)
    assert not list(tmp_path.iterdir())


def test_a_calibration_that_cannot_work_is_refused_first(train: Run, samples: Path, tmp_path: Path) -> None:
    later = ["--then-calibrate", samples / "questions.jsonl", "--alpha", 0.9]
    refused(train(*later, "--index", "nowhere"), "nowhere")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", ["--encoder", "--url"])
def test_what_names_the_system_goes_to_the_calibration(
    train: Run, samples: Path, index_folder: Path, option: str
) -> None:
    later = ["--then-calibrate", samples / "questions.jsonl", "--alpha", 0.9, "--index", index_folder]
    named = "local-dir:/nowhere" if option == "--encoder" else "not an address"
    refused(train(*later, option, named), named.removeprefix("local-dir:"))
    refused(train(option, named), "go with --then-calibrate")


def test_trained_and_calibrated_in_one_go(
    run: Run, samples: Path, index_folder: Path, pairs: list[PreferencePair], tmp_path: Path
) -> None:
    kept, patients = [], set()
    for line in (samples / "questions.jsonl").read_text().splitlines():
        question = json.loads(line)
        if question["options"] and question["split"] == "calibrate" and question["patient"] not in patients:
            patients.add(question["patient"])
            kept.append(line)
    (tmp_path / "questions.jsonl").write_text("\n".join(kept[:30]) + "\n")
    (tmp_path / "titrate.toml").write_text("[calibrate]\nmax_k = 1\ndelta = 0.3\n")
    write_pairs([replace(pair, split=None) for pair in pairs], tmp_path / "pairs.jsonl", root=samples)
    words = ["train", "pairs.jsonl", "--root", samples, "--mllm", samples / "models/mllm", "--device", "cpu"]
    words += ["--max-steps", 1, "--then-calibrate", "questions.jsonl", "--calibrate-root", samples]
    result = run(*words, "--index", index_folder, "--alpha", 0.99, "--certificate", "c.json")
    assert result.exit_code == 0, result.output
    assert "; adapter: adapter\n" in result.stdout
    assert result.stdout.endswith("Certificate: c.json\n")
    certificate = json.loads((tmp_path / "c.json").read_text())
    tuned = TransformersMLLM.open(str(samples / "models/mllm"), adapter=tmp_path / "adapter", device="cpu")
    assert certificate["fingerprints"]["mllm"] == tuned.fingerprint
    assert (certificate["alpha"], certificate["delta"]) == (0.99, 0.3)
    assert certificate["disjoint_from"] == ["the adapter's training", "the index"]
    # The patients of the pairs may be neither calibrated nor judged with.
    trained = {**json.loads(kept[0]), "patient": "p0"}
    (tmp_path / "trained.jsonl").write_text("\n".join([json.dumps(trained), *kept[1:9]]) + "\n")
    asked = ["trained.jsonl", "--root", samples, "--split", "calibrate", "--index", index_folder, "--device", "cpu"]
    asked += ["--mllm", samples / "models/mllm", "--adapter", "adapter"]
    for command, *more in (["calibrate", "--alpha", 0.99], ["evaluate"]):
        refused(
            run(command, *asked, *more), "the adapter was trained on 1 of the 9 patients asked about; ask about others"
        )
    # The same patients calibrate another system: it gets what is left of delta.
    (tmp_path / "titrate.toml").write_text("[calibrate]\nmax_k = 1\ndelta = 0.5\n")
    negative = run(
        *words[:-4], "--out", "other", "--window=-600,1500", *words[-4:], "--alpha", 0.99, "--index", index_folder
    )
    assert negative.exit_code == 0, negative.output
    windowed = json.loads((tmp_path / "certificate.json").read_text())
    assert windowed["fingerprints"] != certificate["fingerprints"]
    assert (windowed["look"], windowed["spent"], windowed["delta"]) == (2, 0.3, 0.5)
