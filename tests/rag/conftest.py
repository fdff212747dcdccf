"""The shipped encoder and index, and a tiny MLLM with random weights for what does not depend on its skill."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from indexing import Encoder, Index, load_image
from rag import Question, TransformersMLLM, closed_questions, read_questions
from tests.preference.tiny import make_mllm
from tests.rag.small import make_index


@pytest.fixture(scope="session")
def encoder(samples: Path) -> Encoder:
    return Encoder.open(f"local-dir:{samples / 'models/encoder'}", device="cpu")


@pytest.fixture(scope="session")
def index(index_folder: Path) -> Iterator[Index]:
    with Index.open(index_folder) as opened:
        yield opened


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_mllm(tmp_path_factory.mktemp("mllm"), seed=3)
    weights = load_file(folder / "model.safetensors")
    # Newly made, it hardly looks at the image, and a mistake with images would not show.
    louder = {name: 3 * tensor for name, tensor in weights.items() if "projector" in name or "_proj.weight" in name}
    save_file({**weights, **louder}, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path) -> TransformersMLLM:
    return TransformersMLLM.open(str(tiny_folder), device="cpu")


@pytest.fixture(scope="session")
def judged(samples: Path) -> list[Question]:
    """Closed questions of the test split: the first two patients' of either domain."""
    path = samples / "questions.jsonl"
    chosen: list[Question] = []
    closed = closed_questions(read_questions(path, splits=["test"]), path)
    for domain in ("pathology", "radiology"):
        here = [question for question in closed if question.domain == domain]
        patients = list(dict.fromkeys(question.patient for question in here))[:2]
        chosen += [question for question in here if question.patient in patients][:5]
    return chosen


@pytest.fixture(scope="session")
def pictures(samples: Path) -> list[Image.Image]:
    """Three real images of different shapes."""
    with (samples / "corpus.jsonl").open(encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    return [load_image(samples / records[row]["image"]) for row in (0, len(records) // 2, -1)]


@pytest.fixture(scope="session")
def small_folder(samples: Path, encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of few records with known neighbours; see `tests.rag.small`."""
    return make_index(samples, tmp_path_factory.mktemp("small") / "corpus", encoder)


@pytest.fixture(scope="session")
def small(small_folder: Path) -> Iterator[Index]:
    """The same, opened."""
    with Index.open(small_folder) as opened:
        yield opened
