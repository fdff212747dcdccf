"""A model is checked once on a machine; what is kept of that is used only if it is sound and this user's own."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rag import LoadingOptions, NestedPrompt, TransformersMLLM
from rag.models import huggingface
from rag.models.remembered import Checked, recall, remember
from rag.models.self_check import Ways
from titrate import TitrateWarning

KEY, FOUND = "0" * 64, Checked(True, False, True, "slow", "layers of type conv")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/titrate/checks"


def test_what_was_kept_is_found_by_its_user_alone(cache: Path) -> None:
    assert recall(KEY) is None
    remember(KEY, FOUND)
    assert recall(KEY) == FOUND and recall("1" * 64) is None
    (path,) = cache.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600 and cache.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\xff", b"[]", b"{}", b"[" * 5000,
        b'{"schema_version": 2, "batch": 1, "append": true, "causal": true, "note": "", "nested": ""}',
        b'{"schema_version": 2, "batch": true, "append": true, "causal": true, "note": 3, "nested": ""}',
        b'{"schema_version": 2, "batch": true, "append": true, "causal": true, "note": "", "nested": 3}',
        b'{"schema_version": 2, "batch": true, "append": true, "causal": true, "more": ""}',
        b'{"schema_version": 1, "batch": true, "append": true, "causal": true, "note": "", "nested": ""}',
    ],
)  # fmt: skip
def test_a_damaged_file_counts_as_none(cache: Path, content: bytes) -> None:
    remember(KEY, FOUND)
    (cache / f"{KEY}.json").write_bytes(content)
    assert recall(KEY) is None
    remember(KEY, FOUND)
    assert recall(KEY) == FOUND


@pytest.mark.parametrize("place", ["", f"{KEY}.json"])
def test_what_others_can_write_counts_as_none(cache: Path, place: str) -> None:
    remember(KEY, FOUND)
    (cache / place).chmod(0o777)
    assert recall(KEY) is None


def test_a_file_of_another_user_counts_as_none(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remember(KEY, FOUND)
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert recall(KEY) is None


def test_a_link_or_a_pipe_counts_as_none(cache: Path, tmp_path: Path) -> None:
    remember(KEY, FOUND)
    path = cache / f"{KEY}.json"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert recall(KEY) is None
    path.unlink()
    os.mkfifo(path, 0o600)
    assert recall(KEY) is None


def test_where_nothing_can_be_kept_nothing_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    remember(KEY, FOUND)
    assert recall(KEY) is None


def nested(mllm: TransformersMLLM) -> Any:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8))
    return mllm.score_nested([NestedPrompt(image, "", ("Clear lungs.\n",), ("Is it?",))], [[("yes", "no")]], (0, 1))


def test_a_model_is_checked_once(cache: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = TransformersMLLM.open(str(tiny_folder), device="cpu")
    expected = nested(first)

    def again(*_: Any) -> Any:
        raise AssertionError("it is checked again")

    monkeypatch.setattr(huggingface, "find_ways", again)
    monkeypatch.setattr(huggingface, "why_not_shared", again)
    second = TransformersMLLM.open(str(tiny_folder), device="cpu")
    assert second.ways == Ways() and second.fingerprint == first.fingerprint
    assert (nested(second)[0][0] == expected[0][0]).all()
    for other in ({"dtype": "bfloat16"}, {"loading": LoadingOptions(attention="eager")}):
        with pytest.raises(AssertionError, match="checked again"):
            TransformersMLLM.open(str(tiny_folder), device="cpu", **other)


def test_what_was_told_is_told_again(cache: Path, tiny_folder: Path, tmp_path: Path) -> None:
    TransformersMLLM.open(str(tiny_folder), device="cpu")
    (path,) = cache.iterdir()
    value = json.loads(path.read_text())
    path.write_text(json.dumps({**value, "batch": False, "note": "is read slowly", "nested": "layers of type conv"}))
    moved = tmp_path / "moved"  # the same model is checked once, wherever it lies
    shutil.copytree(tiny_folder, moved)
    with pytest.warns(TitrateWarning, match=f"^model {moved} is read slowly$"):
        mllm = TransformersMLLM.open(str(moved), device="cpu")
    assert mllm.ways == Ways(batch=False)
