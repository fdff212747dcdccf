"""Folders of models, encoders, adapters and indexes that were damaged: one line, whatever the libraries raise."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexing import Encoder
from rag import TransformersMLLM
from tests.preference.tiny import make_mllm
from tests.promises.fuzz.hostile import damaged, examples, json_file
from tests.promises.fuzz.test_readers import survive

EXAMPLES = 4


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_mllm(tmp_path_factory.mktemp("sound") / "model")


def wrong(path: Path) -> st.SearchStrategy[bytes]:
    """What may have become of a file."""
    whole = path.read_bytes()
    return json_file(json.loads(whole)) if path.suffix == ".json" and len(whole) < 20_000 else damaged(whole)


def check_folder(sound: Path, opened: Callable[[Path], object], tmp_path: Path) -> None:
    files = sorted(path.name for path in sound.iterdir() if path.is_file())

    @examples(EXAMPLES)
    @given(st.sampled_from(files).flatmap(lambda name: st.tuples(st.just(name), wrong(sound / name))))
    def check(what: tuple[str, bytes]) -> None:
        name, content = what
        shutil.rmtree(tmp_path / "folder", ignore_errors=True)
        shutil.copytree(sound, tmp_path / "folder")
        survive(tmp_path / "folder" / name, content, lambda path: opened(path.parent))

    check()


@pytest.mark.slow
def test_models_that_were_damaged(model: Path, tmp_path: Path) -> None:
    def opened(folder: Path) -> None:
        TransformersMLLM.open(str(folder), device="cpu").render("Any?")

    check_folder(model, opened, tmp_path)


@pytest.mark.slow
def test_encoders_that_were_damaged(samples: Path, tmp_path: Path) -> None:
    check_folder(samples / "models/encoder", lambda folder: Encoder.open(f"local-dir:{folder}", "cpu"), tmp_path)
