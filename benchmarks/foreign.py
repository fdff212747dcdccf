"""Images that are not medical: what scikit-image and scikit-learn ship, and noise, in two halves that share nothing.

One half served to choose the novelty score (``development``), the other is for reporting on it (``report``).
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_image

Half = Literal["development", "report"]
Pixels = NDArray[np.uint8]

SIDE, PER_KIND, FACES = 256, 20, 40

# What scikit-image ships inside its wheel and is not medical. Left out as near copies of others: one half of the
# motorcycle's stereo pair and the grey chessboard; as neither one nor the other: a cell's phase image and a phantom.
PHOTOGRAPHS = (
    "astronaut", "brick", "camera", "chelsea", "clock", "coffee", "coins", "colorwheel", "grass", "gravel", "horse",
    "hubble_deep_field", "logo", "moon", "page", "rocket", "text",
)  # fmt: skip
SCIKIT_LEARN = ("china.jpg", "flower.jpg")

MEDICAL = {"retina": "ophthalmology", "immunohistochemistry": "pathology"}
"""Medical images of scikit-image, from sources that the research data does not have, and their domains."""


def photographs(half: Half) -> dict[str, Image.Image]:
    """Every other picture by name, photographs mostly, with some drawings and pages of text."""
    found = {name: _image(getattr(skimage.data, name)()) for name in PHOTOGRAPHS}
    found["motorcycle"] = _image(skimage.data.stereo_motorcycle()[0])
    found |= {name.removesuffix(".jpg"): _image(load_sample_image(name)) for name in SCIKIT_LEARN}
    return {name: found[name] for name in sorted(found)[half == "report" :: 2]}


def faces(half: Half) -> list[Image.Image]:
    """Portraits of 25 × 25 pixels, grey (Labeled Faces in the Wild)."""
    start = FACES if half == "report" else 0
    return [_image((face * 255).astype(np.uint8)) for face in skimage.data.lfw_subset()[start : start + FACES]]


def medical() -> dict[str, Image.Image]:
    """The images that `MEDICAL` names."""
    return {name: _image(getattr(skimage.data, name)()) for name in MEDICAL}


def noise(half: Half) -> dict[str, list[Image.Image]]:
    """Twenty images of each kind, in random colours."""
    rng = np.random.default_rng([7, half == "report"])
    return {kind: [Image.fromarray(make(rng)) for _ in range(PER_KIND)] for kind, make in _KINDS.items()}


def _image(pixels: Pixels) -> Image.Image:
    image = Image.fromarray(pixels)
    # The horse and the logo lie on transparent ground.
    ground = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(ground, image.convert("RGBA")).convert("RGB")


def _uniform(rng: np.random.Generator) -> Pixels:
    return rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def _gaussian(rng: np.random.Generator) -> Pixels:
    values = rng.normal(rng.uniform(60, 190), rng.uniform(10, 80), (SIDE, SIDE, 1))
    pixels: Pixels = np.broadcast_to(values, (SIDE, SIDE, 3)).clip(0, 255).astype(np.uint8)
    return pixels


def _blotches(rng: np.random.Generator) -> Pixels:
    coarse = rng.integers(0, 256, (rng.integers(3, 17),) * 2 + (3,), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def _solid(rng: np.random.Generator) -> Pixels:
    return np.broadcast_to(_colours(rng)[0], (SIDE, SIDE, 3)).astype(np.uint8)


def _checkerboard(rng: np.random.Generator) -> Pixels:
    rows, columns = np.indices((SIDE, SIDE)) // rng.integers(4, 65)
    pixels: Pixels = _colours(rng)[(rows + columns) % 2].astype(np.uint8)
    return pixels


def _gradient(rng: np.random.Generator) -> Pixels:
    angle, (y, x) = rng.uniform(0, 2 * np.pi), np.indices((SIDE, SIDE)) / (SIDE - 1)
    along = np.cos(angle) * x + np.sin(angle) * y
    share = ((along - along.min()) / np.ptp(along))[..., None]
    first, second = _colours(rng)
    pixels: Pixels = (first + share * (second - first)).astype(np.uint8)
    return pixels


def _colours(rng: np.random.Generator) -> NDArray[np.float64]:
    return rng.integers(0, 256, (2, 3)).astype(np.float64)


_KINDS: dict[str, Callable[[np.random.Generator], Pixels]] = {
    "uniform noise": _uniform,
    "gaussian noise": _gaussian,
    "blotches": _blotches,
    "solid colours": _solid,
    "checkerboards": _checkerboard,
    "gradients": _gradient,
}
