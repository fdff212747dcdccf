"""Noise: its variance, its grain, its region, worked out by hand."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

from preference import (
    ImageNoise,
    Noise,
)
from preference.noise import signal_share
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
    with pytest.raises(InputError, match=r"noise|seed"):
        Noise(**unsound)
    if "region" not in unsound:
        with pytest.raises(InputError, match=r"noise|seed"):
            ImageNoise(**unsound)


@pytest.mark.parametrize("change", [{"seed": 2**32}, {"seed": -1}, {"seed": 1.5}, {"side": 10**9}, {"strength": 1.5}])
def test_numbers_that_no_noise_has(change: dict[str, Any]) -> None:
    for kind in (Noise, ImageNoise):
        with pytest.raises(InputError):
            kind(**change)
