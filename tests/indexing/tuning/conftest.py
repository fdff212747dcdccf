"""An archive that is easily learnt: plates of four colours, each with the report that names its colour."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.indexing.tiny import make_encoder

COLOURS = {"red": (200, 40, 40), "green": (40, 160, 40), "blue": (40, 40, 200), "white": (230, 230, 230)}
Plates = Callable[..., Path]


def write_plates(root: Path, count: int = 32, more: list[dict[str, Any]] | None = None) -> Path:
    """A corpus of so many plates, a patient each, and of other records."""
    noise = np.random.default_rng(5)
    root.mkdir(parents=True)
    records = []
    for number in range(count):
        name = list(COLOURS)[number % len(COLOURS)]
        pixels = np.clip(np.array(COLOURS[name]) + noise.integers(-30, 31, (40, 40, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(root / f"{number}.png")
        report = f"A {20 + number}-year-old woman. A {name} plate."
        records.append({"id": f"r{number}", "image": f"{number}.png", "report": report, "patient": f"P{number}"})
    lines = [json.dumps(record) for record in [*records, *(more or [])]]
    (root / "corpus.jsonl").write_text("\n".join(lines) + "\n")
    return root / "corpus.jsonl"


@pytest.fixture(scope="session")
def plates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plates, and records of which none can be trained on: two damaged, two of other splits."""
    root = tmp_path_factory.mktemp("plates") / "corpus"
    own = {"image": "0.png", "report": "A red plate."}
    corpus = write_plates(
        root,
        more=[
            {"id": "torn", "image": "torn.png", "report": "A red plate.", "patient": "P-torn"},
            {"id": "mute", "image": "0.png", "patient": "P-mute"},
            {"id": "kept", **own, "split": "calibrate", "patient": "P-calibrate"},
            {"id": "last", **own, "split": "test", "patient": "P-test"},
        ],
    )
    (root / "torn.png").write_bytes((root / "0.png").read_bytes()[:90])
    return corpus


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"local-dir:{make_encoder(tmp_path_factory.mktemp('base'), seed=1)}"
