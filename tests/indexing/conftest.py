"""A tiny encoder, a few real records, and an index made of them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from indexing import BuildReport, Encoder, build_index
from tests.indexing.tiny import SAMPLES, make_encoder


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_encoder(tmp_path_factory.mktemp("encoder"), seed=1)


@pytest.fixture(scope="session")
def encoder(encoder_folder: Path) -> Encoder:
    return Encoder.open(f"local-dir:{encoder_folder}", device="cpu")


@pytest.fixture(scope="session")
def samples() -> list[dict[str, Any]]:
    """Real records, 20 of the train split of each domain and 4 of other splits."""
    with (SAMPLES / "corpus.jsonl").open(encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    kept: list[dict[str, Any]] = []
    for domain in ("pathology", "radiology"):
        kept += [r for r in records if r["domain"] == domain and r["split"] == "train"][:20]
        kept += [r for r in records if r["domain"] == domain and r["split"] != "train"][:2]
    return kept


CorpusMaker = Callable[[list[dict[str, Any]]], Path]


@pytest.fixture
def write_corpus(tmp_path: Path) -> CorpusMaker:
    """Write records as a corpus file in a folder that also holds their images."""
    root = tmp_path / "corpus"

    def write(records: list[dict[str, Any]]) -> Path:
        for record in records:
            target = root / record["image"]
            if not target.exists() and (SAMPLES / record["image"]).exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(SAMPLES / record["image"], target)
        root.mkdir(exist_ok=True)
        path = root / "corpus.jsonl"
        path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
        return path

    return write


@pytest.fixture
def built(
    tmp_path: Path, encoder: Encoder, samples: list[dict[str, Any]], write_corpus: CorpusMaker
) -> tuple[Path, Path, BuildReport]:
    """An index folder, its corpus and the report of the build."""
    corpus = write_corpus(samples)
    index = tmp_path / "index"
    return index, corpus, build_index(corpus, index, encoder)
