"""Noise of a given strength that hides what an image shows, in the whole image or in one region.

The forward process of a diffusion model (DDPM, arXiv 2006.11239) with its linear schedule: at step t of 1,000 an image
x in [-1, 1] becomes √ᾱ_t · x + √(1 − ᾱ_t) · ε, with ε standard normal. MMed-RAG (arXiv 2410.13085) noises whole images
so, MMedPO (arXiv 2412.06141) the region of the lesion alone.
"""

import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

from titrate import InputError, check_seed

LARGEST_SIDE = 1 << 16
"""Pixels; far more than any image has."""

STEPS = 1000
"""Steps of the diffusion schedule; after the last, next to nothing of the image is left."""

_FIRST_BETA, _LAST_BETA = 1e-4, 0.02


@dataclass(frozen=True)
class Noise:
    """The noise of one image, down to the last pixel: applied again to the same image it gives the same pixels.

    Attributes
    ----------
    strength
        Step t of the diffusion schedule, 1 to 1,000: at 500, 8 % of the signal's variance is left.
    seed
        Seed of the random numbers that are the noise.
    side
        Longest side in pixels to which a larger image is reduced before it is noised. It should be the side of the
        image that the model reads: finer noise would be averaged away before the model sees it.
    region
        The part of the image that is noised: left, top, right and bottom as shares of width and height. None for the
        whole image.

    Raises
    ------
    InputError
        If one of these is outside its range.
    """

    strength: int = 500
    seed: int = 0
    side: int = 336
    region: tuple[float, float, float, float] | None = None

    def __post_init__(self) -> None:
        _check(self.strength, self.seed, self.side)
        if self.region is not None:
            left, top, right, bottom = self.region
            if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
                raise InputError(
                    f"noise region is {self.region}; give left, top, right, bottom as shares of width and height"
                )

    def apply(self, image: Image.Image) -> Image.Image:
        """The image as RGB, reduced to ``side`` and noised; every colour channel has noise of its own."""
        reduced = image.convert("RGB")
        reduced.thumbnail((self.side, self.side), Image.Resampling.BICUBIC)
        pixels = np.asarray(reduced, dtype=np.float64) / 127.5 - 1
        kept = signal_share(self.strength)
        rng = np.random.default_rng(self.seed)
        noised = np.sqrt(kept) * pixels + np.sqrt(1 - kept) * rng.standard_normal(pixels.shape)
        if self.region is not None:
            height, width = pixels.shape[:2]
            left, top, right, bottom = self.region
            rows = slice(int(top * height), max(int(np.ceil(bottom * height)), int(top * height) + 1))
            columns = slice(int(left * width), max(int(np.ceil(right * width)), int(left * width) + 1))
            partly = pixels.copy()
            partly[rows, columns] = noised[rows, columns]
            noised = partly
        return Image.fromarray(np.clip(np.rint((noised + 1) * 127.5), 0, 255).astype(np.uint8))


@dataclass(frozen=True)
class ImageNoise:
    """How images are noised, each with noise of its own: a model could learn to recognise noise that never changes.

    Attributes
    ----------
    strength, side
        As for `Noise`.
    seed
        Another seed gives every image other noise.

    Raises
    ------
    InputError
        If one of these is outside its range.
    """

    strength: int = 500
    side: int = 336
    seed: int = 0

    def __post_init__(self) -> None:
        _check(self.strength, self.seed, self.side)

    def for_image(self, image: Image.Image) -> Noise:
        """The noise of an image, which depends on its pixels and the seed alone."""
        return Noise(self.strength, seed=zlib.crc32(image.tobytes(), self.seed), side=self.side)

    def apply(self, image: Image.Image) -> Image.Image:
        """The image with its own noise, as `Noise.apply` gives it."""
        return self.for_image(image).apply(image)


def signal_share(strength: int) -> float:
    """The share of the image's variance that is left at step ``strength``: ᾱ_t of the linear schedule."""
    betas = np.linspace(_FIRST_BETA, _LAST_BETA, STEPS)
    return float(np.prod(1 - betas[:strength]))


def _check(strength: int, seed: int, side: int) -> None:
    if not all(type(number) is int for number in (strength, seed, side)):
        raise InputError("strength, seed and side of noise must be whole numbers")
    if not 1 <= strength <= STEPS:
        raise InputError(f"noise strength is {strength}; give a step of the schedule, 1 to {STEPS}")
    check_seed(seed)
    if not 1 <= side <= LARGEST_SIDE:
        raise InputError(f"noise side is {side}; give 1 to {LARGEST_SIDE:,} pixels")
