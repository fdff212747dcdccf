"""A stranger's encoder folder runs no code: each variant is refused in one line, or loads as data and nothing more.

Whoever sits at the terminal answers every question with y.
"""

import io
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from indexing import Encoder
from tests.indexing.tiny import make_encoder
from tests.promises.hostile.encoder_folders import HARMLESS, REFUSED
from tests.promises.hostile.folder import Folder, pickled
from titrate import InputError


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Give an encoder that nobody has changed, and its fingerprint."""
    folder = make_encoder(tmp_path_factory.mktemp("sound") / "encoder", seed=1)
    return folder, Encoder.open(f"local-dir:{folder}", "cpu").fingerprint


@pytest.fixture
def folder(sound: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Folder]:
    """Give a copy of it, and look for the sentinel in the end."""
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 99))
    monkeypatch.chdir(tmp_path)
    copy = Folder(Path(shutil.copytree(sound[0], tmp_path / "encoder")), tmp_path / "sentinel")
    yield copy
    assert not copy.sentinel.exists()


@pytest.mark.parametrize("change", REFUSED.values(), ids=list(REFUSED))
def test_refused_in_one_line(folder: Folder, change: Callable[[Folder], None]) -> None:
    change(folder)
    with pytest.raises(InputError) as caught:
        Encoder.open(f"local-dir:{folder.path}", "cpu")
    assert str(caught.value).isprintable() and len(str(caught.value)) < 600


@pytest.mark.parametrize("change", HARMLESS, ids=lambda change: change.__name__)
def test_loads_as_if_it_were_not_there(
    folder: Folder, change: Callable[[Folder], None], sound: tuple[Path, str]
) -> None:
    change(folder)
    assert Encoder.open(f"local-dir:{folder.path}", "cpu").fingerprint == sound[1]


@pytest.mark.parametrize("kind", ["module", "pickle"])
def test_the_code_would_write_the_sentinel(folder: Folder, kind: str) -> None:
    folder.code("evil.py")
    (folder.path / "evil.pickle").write_bytes(pickled(folder.sentinel))
    program = {"module": "import evil", "pickle": "import pickle; pickle.load(open('evil.pickle', 'rb'))"}[kind]
    subprocess.run([sys.executable, "-c", program], cwd=folder.path, check=True)
    folder.sentinel.rmdir()
