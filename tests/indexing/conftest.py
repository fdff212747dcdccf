"""A tiny encoder, a few real records, and an index made of them."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from indexing import BuildReport, Encoder, build_index
from tests.indexing.few import few_records, write_corpus_to
from tests.indexing.tiny import make_encoder


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_encoder(tmp_path_factory.mktemp("encoder"), seed=1)


@pytest.fixture(scope="session")
def encoder(encoder_folder: Path) -> Encoder:
    return Encoder.open(f"local-dir:{encoder_folder}", device="cpu")


@pytest.fixture(scope="session")
def other_encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    folder = make_encoder(tmp_path_factory.mktemp("encoder"), seed=2)
    return Encoder.open(f"local-dir:{folder}", device="cpu")


@pytest.fixture(scope="session")
def samples() -> list[dict[str, Any]]:
    """Real records, 20 of the train split of each domain and 4 of other splits."""
    return few_records()


CorpusMaker = Callable[[list[dict[str, Any]]], Path]


@pytest.fixture
def write_corpus(tmp_path: Path) -> CorpusMaker:
    """Write records as a corpus file in a folder that also holds their images."""
    root = tmp_path / "corpus"

    return partial(write_corpus_to, root)


@pytest.fixture
def built(
    tmp_path: Path, encoder: Encoder, samples: list[dict[str, Any]], write_corpus: CorpusMaker
) -> tuple[Path, Path, BuildReport]:
    """An index folder, its corpus and the report of the build."""
    corpus = write_corpus(samples)
    index = tmp_path / "index"
    return index, corpus, build_index(corpus, index, encoder)
