"""Noise in doses, where evidence lies, and weights: worked out by hand."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from preference import (
    Evidence,
    ImageNoise,
    MinedPairs,
    Noise,
    PreferencePair,
    locate_evidence,
    read_regions,
    restrict_noise,
    weigh_pairs,
)
from preference.noise import signal_share
from rag.models.base import MLLM, Prompt
from titrate import InputError

GREY = Image.new("RGB", (64, 64), (127, 127, 127))


def test_the_schedule_is_ddpms() -> None:
    # β runs linearly from 1e-4 to 0.02 over 1,000 steps, so by 0.0199 / 999 a step.
    assert signal_share(1) == pytest.approx(0.9999)
    assert signal_share(2) == pytest.approx(0.9999 * (1 - 1e-4 - 0.0199 / 999))
    assert signal_share(1000) == pytest.approx(4.04e-5, rel=0.01)


def test_noise_has_the_variance_of_its_step() -> None:
    # Of mid-grey nothing but the noise is left: variance 1 - ᾱ = 0.103 at step 100, on a scale where 127.5 is 1.
    noised = np.asarray(Noise(100).apply(GREY), dtype=np.float64)
    assert np.std(noised / 127.5) == pytest.approx(np.sqrt(1 - signal_share(100)), rel=0.03)


def test_the_same_noise_gives_the_same_pixels_and_other_images_other_noise() -> None:
    other = Image.new("RGB", (64, 64), (90, 127, 127))
    noise = ImageNoise(500, 64, 1)
    assert noise.apply(GREY).tobytes() == noise.for_image(GREY).apply(GREY).tobytes()
    assert noise.for_image(GREY) != noise.for_image(other)
    assert noise.for_image(GREY) != ImageNoise(500, 64, 2).for_image(GREY)


def test_noise_is_as_coarse_as_what_the_model_reads() -> None:
    noised = Noise(500, side=32).apply(Image.new("RGB", (64, 48)))
    assert noised.size == (32, 24)
    assert Noise(500, side=336).apply(GREY).size == GREY.size, "never enlarged"


def test_only_the_region_is_noised() -> None:
    noised = np.asarray(Noise(900, region=(0.25, 0.5, 0.75, 1.0)).apply(GREY))
    changed = (noised != 127).any(axis=2)
    assert not changed[:32].any()
    assert not changed[:, :16].any()
    assert not changed[:, 48:].any()
    assert changed[32:, 16:48].mean() > 0.95


@pytest.mark.parametrize(
    "unsound",
    [
        {"strength": 0},
        {"strength": 1001},
        {"seed": -1},
        {"side": 0},
        {"region": (0.5, 0, 0.5, 1)},
        {"region": (0, 0, 1, 1.01)},
    ],
)
def test_unsound_noise_is_refused(unsound: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="noise"):
        Noise(**unsound)


class BrightCorner(MLLM):
    """Says yes with log-probability of the mean brightness of the lower right patch, over 255."""

    fingerprint = "corner"

    def generate(self, prompts: Any, max_new_tokens: int) -> list[str]:
        raise NotImplementedError

    def score(self, prompts: Any, options: Any, batch_size: int = 16) -> list[Any]:
        def patch(prompt: Prompt) -> float:
            pixels = np.asarray(prompt.image.convert("L"), dtype=np.float64)
            return float(pixels[48:, 48:].mean() / 255)

        assert all(choices == ["yes"] for choices in options)
        return [np.array([patch(prompt)]) for prompt in prompts]


@pytest.fixture
def cornered(tmp_path: Path) -> PreferencePair:
    """Give a pair on a black image whose lower right sixteenth is white."""
    pixels = np.zeros((64, 64, 3), dtype=np.uint8)
    pixels[48:, 48:] = 255
    Image.fromarray(pixels).save(tmp_path / "corner.png")
    return PreferencePair("a", tmp_path / "corner.png", "Is it bright?", "yes", "yes", rejected_noise=Noise())


def test_evidence_lies_where_covering_takes_the_answer_away(cornered: PreferencePair) -> None:
    # Covered with the image's mean, 255 / 16 ≈ 16, the log-probability falls from 1 to 16 / 255.
    [found] = locate_evidence(BrightCorner(), [cornered])
    assert found.region == (0.75, 0.75, 1.0, 1.0)
    assert found.strength == pytest.approx(1 - np.exp(-(1 - 16 / 255)))
    [pair] = restrict_noise([cornered], [found])
    assert pair.rejected_noise == Noise(region=(0.75, 0.75, 1.0, 1.0))


def test_a_drawn_region_comes_first(cornered: PreferencePair) -> None:
    box = (0.0, 0.0, 0.5, 0.5)
    [found] = locate_evidence(BrightCorner(), [cornered], drawn={cornered.image.resolve(): box})
    assert found == Evidence(box, 0.0)


def test_pairs_without_noise_stay_as_they_are(cornered: PreferencePair) -> None:
    plain = replace(cornered, rejected="no", rejected_noise=None)
    assert restrict_noise([plain], [Evidence((0, 0, 0.5, 0.5), 1.0)]) == [plain]


def test_boxes_and_masks_are_read(tmp_path: Path, cornered: PreferencePair) -> None:
    mask = np.zeros((10, 20), dtype=np.uint8)
    mask[2:5, 10:20] = 1
    Image.fromarray(mask).save(tmp_path / "mask.png")
    GREY.save(tmp_path / "grey.png")
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


def test_weights_are_relevance_over_its_kinds_mean_clipped(cornered: PreferencePair) -> None:
    kinds = ["over-reliance"] * 3 + ["copying"] * 2
    pairs = tuple(replace(cornered, id=str(n), kind=kind) for n, kind in enumerate(kinds))
    mined = MinedPairs(pairs, (0.9, 0.8, 1.0, 0.5, 1.0), {}, ())
    # Means 0.9 and 0.75: 1, 0.8889, 1.1111 and 0.6667, 1.3333, the last two clipped.
    assert [pair.weight for pair in weigh_pairs(mined)] == [1.0, 0.8889, 1.1111, 0.75, 1.25]
    # With evidence, relevance is (0.45, 0.9, 0.5) and (0.75, 1.0): means 0.6167 and 0.875.
    weights = [pair.weight for pair in weigh_pairs(mined, [0.0, 1.0, 0.0, 1.0, 1.0])]
    assert weights == [0.75, 1.25, 0.8108, 0.8571, 1.1429]
