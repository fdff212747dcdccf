"""vLLM with the same weights as in process: the same probabilities and certificates, also where it dies half way."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from safetensors.torch import load_file, save_file

from cli import main
from rag import OpenAIMLLM, Prompt, PromptTemplate, TransformersMLLM
from tests.servers.conftest import Running

CHOICES = (
    ["yes", "no"],
    ["left lung", "right lung", "both lungs"],
    ["A", "B", "C", "D"],
    ["no", "no change"],
    ["normal", "abnormal"],
)
Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(main, [str(word) for word in words], catch_exceptions=False)


@pytest.fixture(scope="module")
def few(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Closed questions of sixty patients of the `calibrate` split, half of each domain."""
    lines: dict[tuple[str, str], str] = {}
    for text in (samples / "questions.jsonl").read_text().splitlines():
        line = json.loads(text)
        if line["options"] and line["split"] == "calibrate":
            lines.setdefault((line["domain"], line["patient"]), text)
    kept = [[text for (of, _), text in lines.items() if of == domain][:30] for domain in ("pathology", "radiology")]
    file = tmp_path_factory.mktemp("few") / "questions.jsonl"
    file.write_text("\n".join(kept[0] + kept[1]) + "\n")
    return file


@pytest.mark.filterwarnings("ignore:.*with none of the options")
@pytest.mark.parametrize("options", CHOICES, ids=" or ".join)
def test_probabilities_are_those_in_process(
    vllm: Running, samples: Path, mllm: TransformersMLLM, options: list[str]
) -> None:
    opened = OpenAIMLLM.open(vllm.url)
    assert opened.versions["options read by"] == "all their tokens"
    prompts = []
    for number, path in enumerate(sorted((samples / "images").rglob("*.jpg"))[:20]):
        text = PromptTemplate().render("What is it?", options, ["Clear lungs. No effusion."] * (number % 4))
        with Image.open(path) as picture:
            prompts.append(Prompt(picture.convert("RGB"), text))
    found, own = (np.exp(np.stack(model.score(prompts, [options] * 20))) for model in (opened, mllm))
    assert np.abs(found - own).max() < 1e-5
    assert (found.argmax(1) == own.argmax(1)).all()


def calibrated(run: Run, few: Path, samples: Path, index: Path, model: str, name: str) -> dict[str, Any]:
    """The certificate's domains."""
    words = ["calibrate", few, "--root", samples, "--index", index, "--device", "cpu", "--mllm", model]
    words += ["--alpha", 0.9, "--max-k", 4, "--out", f"{name}.json", "--outcomes", name]
    result = run(*words)
    assert result.exit_code in (0, 3), result.output
    domains: dict[str, Any] = json.loads(Path(f"{name}.json").read_text())["domains"]
    return domains


def test_a_certificate_is_the_same_through_the_server_also_when_it_dies_half_way(
    run: Run, vllm: Running, few: Path, samples: Path, index_folder: Path
) -> None:
    own = calibrated(run, few, samples, index_folder, str(samples / "models/mllm"), "own")
    assert any(domain["chosen"] for domain in own.values())
    assert calibrated(run, few, samples, index_folder, vllm.url, "served") == own

    def once(kept: Path) -> None:
        """Kill the server when some outcomes are kept, and start it again."""
        while not any(file.stat().st_size > 3000 for file in kept.glob("*.jsonl")):
            time.sleep(0.05)
        vllm.kill()
        vllm.begin()

    killer = threading.Thread(target=once, args=[Path("killed").absolute()], daemon=True)
    killer.start()
    assert calibrated(run, few, samples, index_folder, vllm.url, "killed") == own
    killer.join(1)
    assert not killer.is_alive()


def test_other_weights_under_the_same_name_are_refused(
    run: Run, vllm: Running, few: Path, samples: Path, index_folder: Path
) -> None:
    calibrated(run, few, samples, index_folder, vllm.url, "before")
    vllm.kill()
    path = vllm.folder / "mllm/model.safetensors"
    weights = load_file(path)
    for name, tensor in weights.items():
        if name.endswith("mlp.down_proj.weight"):
            tensor *= 0.5
    save_file(weights, path, {"format": "pt"})
    vllm.start()
    words = ["evaluate", few, "--split", "calibrate", "--root", samples, "--index", index_folder, "--device", "cpu"]
    result = run(*words, "--mllm", vllm.url, "--max-k", 4, "--certificate", "before.json")
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    assert "the certificate was made by other weights than the server runs now" in result.stderr
