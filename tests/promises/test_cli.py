"""The command line as a user meets it: exit codes, one-line errors, nothing written on failure, and the demo."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli import main

Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Give a function that runs a command line in an empty working directory."""
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: object) -> Result:
        return CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)

    return invoke


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


def an_image(samples: Path, split: str = "test") -> tuple[Path, dict[str, Any]]:
    for line in (samples / "corpus.jsonl").read_text().splitlines():
        record: dict[str, Any] = json.loads(line)
        if record["split"] == split:
            return samples / record["image"], record
    raise AssertionError(split)


def refused(result: Result, *words: str) -> None:
    """Check for exit code 2 and one line on stderr that holds these words."""
    assert result.exit_code == 2, result.output
    errors = [line for line in result.stderr.splitlines() if line.startswith("titrate: ")]
    assert len(errors) == 1, result.stderr
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in errors[0]


def test_help_is_quick_and_imports_nothing_heavy(repository: Path) -> None:
    times = []
    for _ in range(10):
        start = time.monotonic()
        subprocess.run([sys.executable, "cli.py", "--help"], cwd=repository, check=True, capture_output=True)
        times.append(time.monotonic() - start)
    code = "import sys, cli; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=repository, check=True, capture_output=True, text=True)
    heavy = {"torch", "numpy", "llama_index", "transformers", "open_clip", "sklearn", "scipy", "trl", "qdrant_edge"}
    assert not heavy & set(loaded.stdout.split())
    assert min(times) <= 0.2  # the best of ten: a busy machine is not our fault


def test_ask_answers_and_cites(run: Run, samples: Path, models: list[object]) -> None:
    image, record = an_image(samples)
    words = ["ask", image, "Is there pneumonia?", *models, "--k", 2, "--options", "yes,no"]
    result = run(*words, "--patient", record["patient"], "--json", "--show-prompt")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["answer"] in ("yes", "no")
    assert answer["probabilities"]["yes"] + answer["probabilities"]["no"] == pytest.approx(1)
    assert answer["domain"] == record["domain"]
    assert [context["number"] for context in answer["contexts"]] == [1, 2]
    assert answer["contexts"][0]["similarity"] >= answer["contexts"][1]["similarity"]
    assert all(context["record"] != record["id"] for context in answer["contexts"])
    assert f"Report [2]: {answer['contexts'][1]['report'][:20]}" in answer["prompt"]
    assert not answer["certified"]
    assert "Not certified" in answer["statement"]
    page = run(*words)
    assert "Answer: " in page.stdout
    assert "[1]" in page.stdout


def test_ask_in_free_text(run: Run, samples: Path, models: list[object]) -> None:
    image, _ = an_image(samples)
    result = run("ask", image, "What does the image show?", *models, "--k", 1, "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["probabilities"] is None
    assert answer["answer"]


def test_ask_with_a_certificate(run: Run, samples: Path, models: list[object], certificate: Path) -> None:
    image, record = an_image(samples)
    words = ["ask", image, "Is there pneumonia?", *models, "--options", "yes,no", "--certificate", certificate]
    answer = json.loads(run(*words, "--json").stdout)
    promised = json.loads(certificate.read_text())["domains"][record["domain"]]
    assert answer["certified"]
    assert answer["k"] == promised["chosen"]["k"]
    assert "at most 99%" in answer["statement"]


def test_ask_refuses_a_certificate_of_another_index(
    run: Run, samples: Path, models: list[object], certificate: Path, tmp_path: Path
) -> None:
    records = (samples / "corpus.jsonl").read_text().splitlines()
    (tmp_path / "half.jsonl").write_text("\n".join(records[::9]) + "\n")
    encoder = f"local-dir:{samples / 'models/encoder'}"
    built = run("index", "half.jsonl", "--root", samples, "--index", "other", "--encoder", encoder, "--device", "cpu")
    assert built.exit_code == 0, built.output
    image, _ = an_image(samples)
    words = ["ask", image, "Is there pneumonia?", "--index", "other", "--mllm", samples / "models/mllm"]
    refused(run(*words, "--options", "yes,no", "--certificate", certificate), "index", "calibrate again")


def test_ask_refuses_a_certificate_of_the_model_without_its_adapter(
    run: Run, samples: Path, models: list[object], certificate: Path
) -> None:
    from peft import LoraConfig, get_peft_model

    from rag import TransformersMLLM

    bare: Any = TransformersMLLM.open(str(samples / "models/mllm"), device="cpu").model
    get_peft_model(bare, LoraConfig(target_modules=["q_proj"])).save_pretrained("adapter")
    image, _ = an_image(samples)
    words = ["ask", image, "Is there pneumonia?", *models, "--options", "yes,no", "--certificate", certificate]
    refused(run(*words, "--adapter", "adapter"), "the model or its adapter changed since calibration")


def test_ask_refuses_a_certificate_of_other_questions(
    run: Run, samples: Path, models: list[object], certificate: Path, few: Path
) -> None:
    image, _ = an_image(samples)
    words = ["ask", image, "Is there pneumonia?", *models, "--options", "yes,no", "--root", samples]
    same = run(*words, "--certificate", certificate, "--questions", few)
    assert same.exit_code == 0, same.output
    changed = Path("changed.jsonl")
    lines = few.read_text().splitlines()
    first = next(n for n, line in enumerate(lines) if json.loads(line)["split"] == "calibrate")
    changed.write_text("\n".join(lines[:first] + lines[first + 1 :]) + "\n")
    refused(
        run(*words, "--certificate", certificate, "--questions", changed), "the question file changed since calibration"
    )
    refused(run(*words, "--k", 1, "--questions", few), "leave out --questions")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image": "nowhere.png"}, ["nowhere.png"]),
        ({"image": "broken.png"}, ["broken.png"]),
        ({"image": "text.png"}, ["is not PNG, JPEG, TIFF, WebP or DICOM"]),
        ({"--mllm": "no-such-model"}, ["no-such-model", "config.json"]),
        ({"--index": "no-such-index"}, ["no index", "titrate index"]),
        ({"--k": None}, ["certificate", "k"]),
        ({"--options": "yes"}, ["at least two options"]),
        ({"--options": "yes,yes"}, ["at least two options"]),
        ({"question": " "}, ["question is empty"]),
        ({"--certificate": "nothing.json"}, ["nothing.json"]),
        ({"--certificate": "text.png"}, ["text.png"]),
        ({"--adapter": "no-such-adapter"}, ["no-such-adapter", "titrate train"]),
    ],
)
def test_ask_refuses_bad_input(
    run: Run, samples: Path, index_folder: Path, tmp_path: Path, change: dict[str, str | None], words: list[str]
) -> None:
    image, _ = an_image(samples)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 40)
    (tmp_path / "text.png").write_text("not an image")
    before = sorted(tmp_path.iterdir())
    given: dict[str, object] = {"image": image, "question": "Is there pneumonia?", "--index": index_folder}
    given |= {"--mllm": samples / "models/mllm", "--k": 1, "--options": "yes,no", "--device": "cpu"} | change
    named = [word for name, value in given.items() if name[0] == "-" and value is not None for word in (name, value)]
    refused(run("ask", given["image"], given["question"], *named), *words)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", ["holds no questions"]),
        ('{"id": "1", "image": "a.png", "question": "Any?", "answer": "yes"}', ["line 1", "options"]),
        ('{"id": "1", "image": "a.png", "question": "Any?", "answer": "yes", "options": []}', ["line 1", "options"]),
        ('{"id": "1", "image": "a.png", "question": "?", "answer": "x", "options": ["y", "n"]}', ["not among"]),
        ('{"id": "1", "image": "a.png", "question": "?", "answer": "y", "options": ["y", "n"]}', ["a.png"]),
        ("{", ["line 1", "not JSON"]),
    ],
)
def test_calibrate_refuses_bad_questions(
    run: Run, models: list[object], tmp_path: Path, line: str, words: list[str]
) -> None:
    (tmp_path / "questions.jsonl").write_text(line + "\n")
    refused(run("calibrate", "questions.jsonl", *models, "--alpha", 0.3), *words)
    assert [path.name for path in tmp_path.iterdir()] == ["questions.jsonl"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--report", "certificate.json"], ["certificate.json", "two names"]),
        (["--sequential", "--p-value", "binomial"], ["binomial", "--sequential"]),
        (["--loss", "nowhere:loss"], ["nowhere:loss", "module:function"]),
    ],
)
def test_calibrate_refuses_what_cannot_go_together(
    run: Run, few: Path, samples: Path, models: list[object], tmp_path: Path, more: list[str], words: list[str]
) -> None:
    refused(run("calibrate", few, "--root", samples, *models, "--alpha", 0.3, *more), *words)
    assert list(tmp_path.iterdir()) == []


def test_calibrate_says_when_nothing_can_be_certified(
    run: Run, few: Path, samples: Path, models: list[object], tmp_path: Path
) -> None:
    result = run("calibrate", few, "--root", samples, *models, "--alpha", 0.01, "--max-k", 1)
    assert result.exit_code == 3, result.output
    assert "nothing is certified" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["outcomes"]


def test_index_refuses_an_empty_corpus(run: Run, samples: Path, tmp_path: Path) -> None:
    (tmp_path / "corpus.jsonl").write_text("\n")
    encoder = f"local-dir:{samples / 'models/encoder'}"
    refused(run("index", "corpus.jsonl", "--index", "index", "--encoder", encoder), "corpus.jsonl")
    refused(run("index", "corpus.jsonl", "--index", "index"), "no index")
    refused(run("index", "none.jsonl", "--index", "index", "--encoder", encoder), "none.jsonl")
    refused(run("index", "corpus.jsonl", "--index", "index", "--encoder", "local-dir:nowhere"), "nowhere")
    assert [path.name for path in tmp_path.iterdir()] == ["corpus.jsonl"]


def test_index_again_does_nothing(run: Run, samples: Path, index_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(index_folder, tmp_path / "index")  # other tests hold the shared one open, which forbids a build
    result = run("index", samples / "corpus.jsonl", "--index", "index", "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert "0 embedded, 537 unchanged, 534 of other splits, 0 removed, 0 skipped" in result.stdout


def test_evaluate_sets_policies_beside_baselines(
    run: Run, few: Path, samples: Path, models: list[object], certificate: Path
) -> None:
    words = ["evaluate", few, "--root", samples, *models, "--max-k", 2, "--certificate", certificate]
    rows = json.loads(run(*words, "--json").stdout)
    policies = {row["policy"] for row in rows}
    assert policies == {"majority answer", "copy nearest report", "k = 0", "k = 1", "k = 2", "certified policy"}
    by_policy = {(row["domain"], row["policy"]): row["metrics"] for row in rows}
    promised = json.loads(certificate.read_text())["domains"]
    for domain in {row["domain"] for row in rows}:
        assert by_policy[domain, "certified policy"] == by_policy[domain, f"k = {promised[domain]['chosen']['k']}"]
    assert "certified policy" in run(*words).stdout


def test_settings_file(run: Run, samples: Path, models: list[object], tmp_path: Path) -> None:
    image, _ = an_image(samples)
    words = ["ask", image, "Is there pneumonia?", *models, "--options", "yes,no", "--json"]
    (tmp_path / "titrate.toml").write_text("[ask]\nk = 3\n")
    assert json.loads(run(*words).stdout)["k"] == 3
    assert json.loads(run(*words, "--k", 1).stdout)["k"] == 1
    (tmp_path / "titrate.toml").write_text("[ask]\nkk = 3\n")
    refused(run(*words), "kk", "titrate.toml")
    (tmp_path / "titrate.toml").write_text("[asks]\nk = 3\n")
    refused(run(*words), "asks")
    (tmp_path / "titrate.toml").write_text("k = = 3")
    refused(run(*words), "not TOML")


@pytest.mark.slow
def test_demo(repository: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(repository / "cli.py"), "demo", "--out", str(tmp_path / "demo")]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=900)
    assert result.returncode == 0, result.stdout + result.stderr
    page = result.stdout.split("=" * 100)[-2]
    for word in ("Question", "Image", "Answer", "Why", "Certificate: "):
        assert word in page
    for made in ("index", "pairs.jsonl", "adapter/adapter_model.safetensors"):
        assert (tmp_path / "demo" / made).exists()
