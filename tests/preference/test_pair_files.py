"""Pair files: there and back, and every way they can be wrong."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from preference import Noise, PreferencePair, SkippedPair, read_pairs, write_pairs
from titrate import InputError


@pytest.fixture
def good(tmp_path: Path, pairs: list[PreferencePair], samples: Path) -> list[dict[str, Any]]:
    """Give the objects of a sound file."""
    write_pairs(pairs, tmp_path / "good.jsonl", root=samples)
    return [json.loads(line) for line in (tmp_path / "good.jsonl").read_text(encoding="utf-8").splitlines()]


def write(path: Path, values: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
    return path


def test_round_trip(tmp_path: Path, pairs: list[PreferencePair], samples: Path) -> None:
    named = [
        replace(pairs[0], patient=None, split=None, domain=None, question=None, k=None, chosen="Größe"),
        replace(
            pairs[1], study="s1", rejected_noise=Noise(700, 3, 64, (0.25, 0.0, 0.5, 1.0)), kind="copying", weight=1.25
        ),
        replace(pairs[2], rejected_image=pairs[1].image.resolve(), rejected=pairs[2].chosen),
        *pairs[3:],
    ]
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
        ({"rejected_image": "images/nowhere.png"}, "does not exist"),
        ({"rejected_image": "https://x.org/a.png"}, "is a URL"),
        ({"rejected_noise": 5}, '"rejected_noise" must be an object'),
        ({"rejected_noise": {"strenght": 5}}, '"rejected_noise" must be an object'),
        ({"rejected_noise": {"strength": 1001}}, "noise strength is 1001"),
        ({"rejected_noise": {"strength": "5"}}, "strength, seed and side of noise must be whole numbers"),
        ({"rejected_noise": {"region": [0, 0, 1]}}, '"rejected_noise" must be an object'),
        ({"rejected_noise": {"region": [0, 0, 2, 1]}}, "noise region"),
        ({"weight": 0}, '"weight" is 0'),
        ({"weight": -1.0}, '"weight" is -1.0'),
        ({"weight": "1"}, '"weight" must be a number'),
        ({"weight": True}, '"weight" must be a number'),
        ({"kind": "hunch"}, "kind 'hunch' is unknown"),
        ({"k": -1}, '"k" must be'),
        ({"k": True}, '"k" must be'),
        ({"k": "2"}, '"k" must be'),
        ({"split": "calibrate"}, "of the calibrate split"),
        ({"split": "test"}, "of the test split"),
        ({"split": 1}, '"split" is missing, empty or not text'),
        ({"domain": 3}, '"domain" is missing'),
        ({"id": "q0@1/over-reliance"}, "id q0@1/over-reliance comes twice"),
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


def test_bad_pairs_can_be_left_out(tmp_path: Path, good: list[dict[str, Any]], samples: Path) -> None:
    path = write(
        tmp_path / "some.jsonl", [good[0], {**good[1], "chosen": ""}, {**good[2], "image": "none.png"}, good[3]]
    )
    skipped: list[SkippedPair] = []
    assert [pair.id for pair in read_pairs(path, root=samples, skip=skipped.append)] == [good[0]["id"], good[3]["id"]]
    assert [skip.where for skip in skipped] == [f"{path}, line 2", f"{path}, line 3"]
    assert "does not exist" in skipped[1].reason
    with pytest.raises(InputError, match="holds no preference pairs that can be used"):
        read_pairs(write(tmp_path / "none.jsonl", [{}]), root=samples, skip=skipped.append)


def released(image: str, **change: Any) -> dict[str, Any]:
    """Give a pair in the shape that the predecessors released."""
    asked = (
        "You are provided with a chest X-ray image and 2 reference report(s): Clear. Question: Is it clear?\n<image>"
    )
    value = {
        "id": image,
        "image": image,
        "conversations": [{"from": "human", "value": asked}, {"from": "gpt", "value": "Yes, it is clear."}],
        "rejected_conversations": [{"from": "human", "value": asked}, {"from": "gpt", "value": "No."}],
    }
    return {**value, **change}


def test_released_files_are_read(tmp_path: Path, images: list[Path]) -> None:
    (tmp_path / "a.jpg").write_bytes(images[0].read_bytes())
    plain = released("a.jpg")
    same = {"rejected_conversations": plain["conversations"], "image_root": "/elsewhere"}
    path = tmp_path / "rule.json"
    path.write_text(json.dumps([plain, released("a.jpg", rejected_noised=1, **same), released("a.jpg", **same)]))
    skipped: list[SkippedPair] = []
    first, second = read_pairs(path, skip=skipped.append)
    assert (first.id, second.id) == ("a.jpg#0", "a.jpg#1"), "identifiers repeat in these files"
    assert first.prompt.endswith("Question: Is it clear?")
    assert (first.chosen, first.rejected, first.k, first.kind) == ("Yes, it is clear.", "No.", 2, "unspecified")
    assert (second.kind, second.rejected, second.rejected_noise) == ("copying", second.chosen, Noise(seed=1))
    assert [(skip.where, skip.reason) for skip in skipped] == [
        (
            f"{path}, pair 3",
            "chosen and rejected are both 'Yes, it is clear.', given to one image; nothing can be learnt from that",
        )
    ]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"image": "none.jpg"}, "does not exist"),
        ({"conversations": None}, '"conversations" must be one question of "human"'),
        ({"rejected_conversations": []}, '"rejected_conversations" must be'),
        (
            {"rejected_conversations": [{"from": "human", "value": "Else?"}, {"from": "gpt", "value": "No."}]},
            "different questions",
        ),
        ({"conversations": [{"from": "human", "value": "?"}, {"from": "gpt", "value": " "}]}, '"value" is missing'),
    ],
)
def test_a_bad_released_pair_is_named(tmp_path: Path, images: list[Path], change: dict[str, Any], told: str) -> None:
    (tmp_path / "a.jpg").write_bytes(images[0].read_bytes())
    (tmp_path / "rule.json").write_text(json.dumps([released("a.jpg"), {**released("a.jpg"), **change}]))
    with pytest.raises(InputError, match=r"rule\.json, pair 2: ") as caught:
        read_pairs(tmp_path / "rule.json")
    assert told in str(caught.value)


@pytest.mark.parametrize("content", ["{", "{}", "[1]", "[" * 100_000])
def test_other_json_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "rule.json").write_text(content)
    with pytest.raises(InputError, match=r"is not (JSON|a list of objects)"):
        read_pairs(tmp_path / "rule.json")
