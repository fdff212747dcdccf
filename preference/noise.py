"""Noise that destroys an image's evidence, whole or in one region, in measured doses.

The forward process of a diffusion model (DDPM, arXiv 2006.11239) with its linear schedule: at step t of 1,000 an image
x in [-1, 1] becomes √ᾱ_t · x + √(1 − ᾱ_t) · ε, with ε standard normal. MMed-RAG (arXiv 2410.13085) noises whole images
so, MMedPO (arXiv 2412.06141) the region of the lesion alone.
"""

import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

from titrate import InputError

STEPS = 1000
_FIRST_BETA, _LAST_BETA = 1e-4, 0.02


@dataclass(frozen=True)
class Noise:
    """A dose of noise: the same dose on the same image gives the same pixels.

    Attributes
    ----------
    strength
        Step t of the diffusion schedule, 1 to 1,000: at 500, 8 % of the signal's variance is left.
    seed
        Of the noise.
    side
        A larger image is first reduced to this longest side, in pixels. Give what the model reads: noise that is finer
        than its pixels is averaged away before it sees it.
    region
        Left, top, right and bottom as shares of width and height; the whole image where None.
    """

    strength: int = 500
    seed: int = 0
    side: int = 336
    region: tuple[float, float, float, float] | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.strength <= STEPS:
            raise InputError(f"noise strength is {self.strength}; give a step of the schedule, 1 to {STEPS}")
        if self.seed < 0 or self.side < 1:
            raise InputError(f"noise seed is {self.seed} and side {self.side}; give 0 or more, and 1 or more")
        if self.region is not None:
            left, top, right, bottom = self.region
            if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
                raise InputError(
                    f"noise region is {self.region}; give left, top, right, bottom as shares of width and height"
                )

    def apply(self, image: Image.Image) -> Image.Image:
        """The image, RGB, with noise on it; each channel is noised by itself."""
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
            outside = pixels.copy()
            outside[rows, columns] = noised[rows, columns]
            noised = outside
        return Image.fromarray(np.clip(np.rint((noised + 1) * 127.5), 0, 255).astype(np.uint8))


@dataclass(frozen=True)
class ImageNoise:
    """How images are noised: each gets noise of its own, or a model could learn to know the noise.

    Attributes
    ----------
    strength, side
        As for `Noise`.
    seed
        Changes the noise of every image.
    """

    strength: int = 500
    side: int = 336
    seed: int = 0

    def for_image(self, image: Image.Image) -> Noise:
        """The noise of an image: always the same for the same pixels."""
        return Noise(self.strength, seed=zlib.crc32(image.tobytes(), self.seed), side=self.side)

    def apply(self, image: Image.Image) -> Image.Image:
        """The image with its noise on it."""
        return self.for_image(image).apply(image)


def signal_share(strength: int) -> float:
    """ᾱ_t of the linear schedule, t = ``strength``: the share of the signal's variance that is left."""
    betas = np.linspace(_FIRST_BETA, _LAST_BETA, STEPS)
    return float(np.prod(1 - betas[:strength]))
