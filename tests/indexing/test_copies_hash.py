"""What stays the same of a picture that is saved anew or at another size, and what does not."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.fft import dctn

from indexing import load_image
from indexing.copies import KEPT, SAME_PICTURE, SIDE, perceptual_hash, same_picture

SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    """Give 40 real images, ten of each source."""
    with (SAMPLES / "corpus.jsonl").open(encoding="utf-8") as lines:
        paths = [json.loads(line)["image"] for line in lines]
    sources = sorted({path.split("/")[1] for path in paths})
    chosen = [path for source in sources for path in [path for path in paths if f"/{source}/" in path][:10]]
    assert len(chosen) == 40
    return [load_image(SAMPLES / path) for path in chosen]


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def shrunk(image: Image.Image, share: float) -> Image.Image:
    return image.resize((round(image.width * share), round(image.height * share)), Image.Resampling.LANCZOS)


def differing(one: bytes, other: bytes) -> int:
    return (int.from_bytes(one) ^ int.from_bytes(other)).bit_count()


def test_bits_are_those_of_an_independent_transform(pictures: list[Image.Image]) -> None:
    for image in pictures[::7]:
        grey = np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float64)
        expected = dctn(grey, norm="ortho")[:KEPT, :KEPT].ravel()[1:]
        bits = np.unpackbits(np.frombuffer(perceptual_hash(image), np.uint8))
        assert bits.shape == (256,) and bits[255] == 0  # 255 bits, and one to fill the last byte
        clear = np.abs(expected - np.median(expected)) > 1e-9
        assert (bits[:255][clear] == (expected > np.median(expected))[clear]).all()


def test_copies_are_recognised_and_other_pictures_are_not(pictures: list[Image.Image]) -> None:
    hashes = [perceptual_hash(image) for image in pictures]
    table = np.frombuffer(b"".join(hashes), np.uint8).reshape(len(hashes), -1)
    found: list[bool] = []
    for number, image in enumerate(pictures):
        for copy in (jpeg(image, 50), shrunk(image, 0.5), shrunk(image, 0.75), jpeg(shrunk(image, 0.5), 75)):
            rows = np.flatnonzero(same_picture(table, perceptual_hash(copy))).tolist()
            assert rows in ([number], [])  # nobody else's
            found.append(bool(rows))
    assert np.mean(found) >= 0.97  # those missed are 80 pixels wide


def test_what_is_not_recognised(pictures: list[Image.Image]) -> None:
    """The module says so; if it ever is, so much the better."""
    image = pictures[0]
    mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert differing(perceptual_hash(image), perceptual_hash(mirrored)) > SAME_PICTURE


def test_a_picture_without_structure_is_nobodys_copy() -> None:
    blank, other = (perceptual_hash(Image.new("RGB", (90, 70), colour)) for colour in ("black", "white"))
    assert blank == other == bytes(32)
    table = np.frombuffer(blank + other, np.uint8).reshape(2, -1)
    assert not same_picture(table, blank).any()
