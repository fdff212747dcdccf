"""A calibration that is killed again and again ends in the certificate of one that was left alone."""

import json
import multiprocessing
import os
import random
import time
from pathlib import Path
from typing import Any

import pytest

KILLS = 20

FORK = multiprocessing.get_context("forkserver")
FORK.set_forkserver_preload(
    [
        "cli",
        "llama_index.core",
        "indexing.encoder",
        "rag.outcomes.calibrate",
        "rag.outcomes.run",
        "rag.models.huggingface",
    ]
)


def calibrate(words: list[str], cache: Path) -> None:
    """Run in a child."""
    from cli import main

    os.environ["XDG_CACHE_HOME"] = str(cache)
    main(words, standalone_mode=False)


def content(certificate: Path) -> dict[str, Any]:
    """What a certificate says, but for when it was made."""
    value: dict[str, Any] = json.loads(certificate.read_text())
    return {name: field for name, field in value.items() if name not in ("created", "seal")}  # the seal covers when


@pytest.mark.slow
@pytest.mark.parametrize("manner", [[], ["--sequential"]], ids=["whole", "sequential"])
def test_killed_at_random_moments_and_resumed(
    samples: Path, index_folder: Path, tmp_path: Path, checked_once: Path, manner: list[str]
) -> None:
    lines = (samples / "questions.jsonl").read_text().splitlines()
    patients = sorted({json.loads(line)["patient"] for line in lines if json.loads(line)["split"] == "calibrate"})
    some = set(patients[::6])  # 30 patients, so that a whole calibration takes seconds
    kept = [line for line in lines if json.loads(line)["patient"] in some or json.loads(line)["split"] != "calibrate"]
    (tmp_path / "questions.jsonl").write_text("\n".join(kept) + "\n")

    def words(name: str) -> list[str]:
        return [
            *["calibrate", str(tmp_path / "questions.jsonl"), "--root", str(samples), "--index", str(index_folder)],
            *["--device", "cpu"],
            *["--mllm", str(samples / "models/mllm"), "--max-k", "2", "--alpha", "0.9", *manner],
            *["--outcomes", str(tmp_path / f"outcomes-{name}"), "--out", str(tmp_path / f"{name}.json")],
        ]

    started = time.monotonic()
    whole = FORK.Process(target=calibrate, args=(words("whole"), checked_once))
    whole.start()
    whole.join()
    assert whole.exitcode == 0
    duration = time.monotonic() - started
    chance = random.Random(5)
    for _ in range(KILLS // 2):  # of each manner
        process = FORK.Process(target=calibrate, args=(words("killed"), checked_once))
        process.start()
        process.join(chance.uniform(0.1, 0.9) * duration)
        process.kill()
        process.join()
    last = FORK.Process(target=calibrate, args=(words("killed"), checked_once))
    last.start()
    last.join()
    assert last.exitcode == 0
    assert content(tmp_path / "killed.json") == content(tmp_path / "whole.json")
