"""Pair files: there and back, and every way they can be wrong."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from preference import PreferencePair, read_pairs, write_pairs
from titrate.errors import InputError


@pytest.fixture
def good(tmp_path: Path, pairs: list[PreferencePair], samples: Path) -> list[dict[str, Any]]:
    """Give the objects of a sound file."""
    write_pairs(pairs, tmp_path / "good.jsonl", root=samples)
    return [json.loads(line) for line in (tmp_path / "good.jsonl").read_text(encoding="utf-8").splitlines()]


def write(path: Path, values: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
    return path


def test_round_trip(tmp_path: Path, pairs: list[PreferencePair], samples: Path) -> None:
    named = [replace(pairs[0], patient=None, split=None, chosen="Größe"), *pairs[1:]]
    write_pairs(named, tmp_path / "pairs.jsonl", root=samples)
    assert read_pairs(tmp_path / "pairs.jsonl", root=samples) == named
    assert "Größe" in (tmp_path / "pairs.jsonl").read_text(encoding="utf-8")
    assert list(tmp_path.iterdir()) == [tmp_path / "pairs.jsonl"]


def test_images_are_named_relative_to_the_root(good: list[dict[str, Any]], samples: Path) -> None:
    assert all((samples / value["image"]).is_file() for value in good)


def test_the_root_is_the_files_own_folder_by_default(
    tmp_path: Path, good: list[dict[str, Any]], images: list[Path]
) -> None:
    (tmp_path / "copy.jpg").write_bytes(images[0].read_bytes())
    path = write(tmp_path / "own.jsonl", [{**good[0], "image": "copy.jpg"}])
    assert read_pairs(path)[0].image == (tmp_path / "copy.jpg").resolve()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"rejected": "yes"}, "chosen and rejected are both 'yes'"),
        ({"rejected": " yes "}, "chosen and rejected are both"),
        ({"chosen": ""}, '"chosen" is missing, empty'),
        ({"rejected": "  "}, '"rejected" is missing, empty'),
        ({"rejected": None}, '"rejected" is missing, empty'),
        ({"prompt": 3}, '"prompt" is missing, empty or not text'),
        ({"image": "images/nowhere.png"}, "does not exist"),
        ({"image": "../outside.png"}, "outside"),
        ({"kind": "hunch"}, "kind 'hunch' is unknown"),
        ({"k": 0}, '"k" must be'),
        ({"k": True}, '"k" must be'),
        ({"k": "2"}, '"k" must be'),
        ({"split": "calibrate"}, "of the calibrate split"),
        ({"split": "test"}, "of the test split"),
        ({"split": 1}, '"split" is missing, empty or not text'),
        ({"domain": None}, '"domain" is missing'),
        ({"id": "q0@1"}, "id q0@1 comes twice"),
    ],
)
def test_a_bad_line_is_named(
    tmp_path: Path, good: list[dict[str, Any]], samples: Path, change: dict[str, Any], told: str
) -> None:
    path = write(tmp_path / "bad.jsonl", [good[0], {**good[1], **change}])
    with pytest.raises(InputError, match=r"bad\.jsonl, line 2: ") as caught:
        read_pairs(path, root=samples)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [("", "holds no preference pairs"), ("[1]\n", "line 1: expected an object"), ("{\n", "line 1: not JSON")],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "pairs.jsonl").write_text(content)
    with pytest.raises(InputError, match=told):
        read_pairs(tmp_path / "pairs.jsonl")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        read_pairs(tmp_path / "none.jsonl")


def test_nothing_is_written_in_vain(tmp_path: Path, pairs: list[PreferencePair]) -> None:
    with pytest.raises(InputError, match="no preference pairs"):
        write_pairs([], tmp_path / "pairs.jsonl", root=tmp_path)
    with pytest.raises(InputError, match="outside"):
        write_pairs(pairs, tmp_path / "pairs.jsonl", root=tmp_path)
    assert not list(tmp_path.iterdir())
