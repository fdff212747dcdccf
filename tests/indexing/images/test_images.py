import os
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from indexing import load_image, resolve_image
from indexing.images.limits import MAX_PIXELS
from titrate import InputError


def pixels(image: Image.Image) -> list[list[list[int]]]:
    rows: list[list[list[int]]] = np.asarray(image).tolist()
    return rows


def chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def png_claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header claims a size."""
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 0, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_real_jpeg() -> None:
    sample = next((Path(__file__).parents[3] / "samples" / "images" / "bccd-blood").glob("*.jpg"))
    image = load_image(sample)
    assert image.mode == "RGB"
    assert min(image.size) == 256


def test_sixteen_bits_are_stretched(tmp_path: Path) -> None:
    Image.fromarray(np.array([[1000, 2000], [3000, 1500]], np.uint16)).save(tmp_path / "a.png")
    # (v − 1000) · 255 / 2000: 0, 127.5 → 128 (half to even), 255, 63.75 → 64
    assert pixels(load_image(tmp_path / "a.png")) == [[[0] * 3, [128] * 3], [[255] * 3, [64] * 3]]


def test_sixteen_bits_all_equal(tmp_path: Path) -> None:
    Image.fromarray(np.full((2, 2), 700, np.uint16)).save(tmp_path / "a.png")
    assert pixels(load_image(tmp_path / "a.png")) == [[[0] * 3] * 2] * 2


def test_transparent_is_black(tmp_path: Path) -> None:
    Image.fromarray(np.array([[[200, 100, 50, 0], [200, 100, 50, 255]]], np.uint8)).save(tmp_path / "a.png")
    assert pixels(load_image(tmp_path / "a.png")) == [[[0, 0, 0], [200, 100, 50]]]


def test_palette(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "a.png")
    assert pixels(load_image(tmp_path / "a.png")) == [[[10, 20, 30], [40, 50, 60]]]


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise to view
    Image.new("RGB", (8, 4)).save(tmp_path / "a.jpg", exif=exif)
    assert load_image(tmp_path / "a.jpg").size == (4, 8)


def test_cmyk_jpeg(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (0, 0, 0, 0)).save(tmp_path / "a.jpg")
    assert pixels(load_image(tmp_path / "a.jpg"))[0][0] == [255, 255, 255]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is not PNG, JPEG, TIFF, WebP or DICOM"),
        (b"GIF89a" + bytes(20), "is not PNG, JPEG, TIFF, WebP or DICOM"),
        (b"\x89PNG\r\n\x1a\n" + bytes(20), "damaged"),
        (b"\xff\xd8\xff" + bytes(20), "damaged"),
        (png_claiming(MAX_PIXELS, 2), "the limit is 64,000,000"),
        (png_claiming(100_000, 100_000), "the limit is 64,000,000"),
        (png_claiming(10_000, 1), "strip"),
        (png_claiming(10, 10), "damaged"),
    ],
)
def test_unusable_images_are_refused(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(data)
    with pytest.raises(InputError, match=reason) as caught:
        load_image(path)
    assert "\n" not in str(caught.value)


def test_truncated_jpeg_is_refused(tmp_path: Path) -> None:
    buffer = BytesIO()
    Image.effect_noise((64, 64), 50).save(buffer, "JPEG")
    (tmp_path / "a.jpg").write_bytes(buffer.getvalue()[:-500])
    with pytest.raises(InputError, match="damaged"):
        load_image(tmp_path / "a.jpg")


def test_only_ordinary_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path, tmp_path / "pipe.png", tmp_path / "none.png"):
        with pytest.raises(InputError):
            load_image(path)


def test_paths_stay_inside_the_root(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "root-secret"
    root.mkdir()
    outside.mkdir()
    (root / "a.png").touch()
    (outside / "b.png").touch()
    (root / "out").symlink_to(outside)
    (root / "in.png").symlink_to("a.png")
    (root / "loop").symlink_to("loop")
    assert resolve_image(root, "a.png") == root / "a.png"
    assert resolve_image(root, "in.png") == root / "a.png"
    for bad in ("../root-secret/b.png", "out/b.png", str(outside / "b.png"), "/etc/hostname"):
        with pytest.raises(InputError, match="outside the corpus root"):
            resolve_image(root, bad)
    for bad in ("https://host/a.png", "file:///etc/hostname", "data:image/png;base64,AA"):
        with pytest.raises(InputError, match="URL"):
            resolve_image(root, bad)
    for bad in ("none.png", "a\0.png", "loop", "x" * 5000):
        with pytest.raises(InputError):
            resolve_image(root, bad)
