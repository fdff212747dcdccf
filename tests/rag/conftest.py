"""The shipped encoder and index, and a tiny MLLM with random weights for what does not depend on its skill."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from indexing import Encoder, Index, load_image
from rag import Question, TransformersMLLM, closed_questions, read_questions
from tests.preference.tiny import make_mllm


@pytest.fixture(scope="session")
def encoder(samples: Path) -> Encoder:
    return Encoder.open(f"local-dir:{samples / 'models/encoder'}", device="cpu")


@pytest.fixture(scope="session")
def index(index_folder: Path) -> Iterator[Index]:
    with Index.open(index_folder) as opened:
        yield opened


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_mllm(tmp_path_factory.mktemp("mllm"), seed=3)


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
