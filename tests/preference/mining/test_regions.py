"""Files of boxes and masks: what is read, and every way they can be wrong."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from preference import PreferencePair, read_regions
from titrate import InputError


def test_boxes_and_masks_are_read(tmp_path: Path, cornered: PreferencePair) -> None:
    mask = np.zeros((10, 20), dtype=np.uint8)
    mask[2:5, 10:20] = 1
    Image.fromarray(mask).save(tmp_path / "mask.png")
    Image.new("RGB", (64, 64)).save(tmp_path / "grey.png")
    rows = [
        {"image": "corner.png", "box": [16, 0, 48, 32]},
        {"image": "grey.png", "mask": "mask.png"},
        {"image": "missing.png"},
    ]
    (tmp_path / "regions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read_regions(tmp_path / "regions.jsonl")
    assert found[cornered.image.resolve()] == (0.25, 0.0, 0.75, 0.5)
    assert found[(tmp_path / "grey.png").resolve()] == pytest.approx((0.5, 0.2, 1.0, 0.5))


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"image": "corner.png", "box": [0, 0, 65, 1]}, "inside 64 × 64 pixels"),
        ({"image": "corner.png", "box": [5, 0, 5, 1]}, "inside 64 × 64 pixels"),
        ({"image": "corner.png", "box": "all"}, "is not left, top, right, bottom"),
        ({"image": "corner.png", "mask": "../mask.png"}, "outside"),
        ({"image": "none.png", "box": [0, 0, 1, 1]}, "does not exist"),
        ({"box": [0, 0, 1, 1]}, '"image" is missing'),
        ({"image": "corner.png", "mask": "black.png"}, "0 everywhere"),
    ],
)
def test_unsound_regions_are_named(tmp_path: Path, cornered: PreferencePair, row: dict[str, Any], told: str) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "black.png")
    (tmp_path / "regions.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(InputError, match=r"regions\.jsonl, line 1: ") as caught:
        read_regions(tmp_path / "regions.jsonl")
    assert told in str(caught.value)


def test_a_file_without_regions_is_refused(tmp_path: Path) -> None:
    (tmp_path / "regions.jsonl").write_text('{"image": "a.png"}\n')
    with pytest.raises(InputError, match="no line with a box or a mask"):
        read_regions(tmp_path / "regions.jsonl")
