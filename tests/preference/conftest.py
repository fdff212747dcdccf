"""The tiny model, and pairs on real images that all prefer yes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from preference import PreferencePair
from tests.preference.tiny import make_mllm, make_pairs, sample_images


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Models this small lose time to threads that wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def mllm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_mllm(tmp_path_factory.mktemp("mllm"))


@pytest.fixture(scope="session")
def images(samples: Path) -> list[Path]:
    return sample_images(samples, 4)


@pytest.fixture(scope="session")
def pairs(images: list[Path]) -> list[PreferencePair]:
    """Four pairs, with 1, 1, 2 and 3 contexts."""
    return make_pairs(images)
