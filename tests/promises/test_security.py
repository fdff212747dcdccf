"""What a stranger's files cannot do: run code, reach outside the corpus, or fill the memory.

Also in tests/indexing: broken and oversized DICOM (test_dicom_refused.py), image paths (test_images.py). What they
cannot leak: test_identifiers.py.
"""

import ast
import tracemalloc
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from indexing import resolve_image
from indexing.images.decode import decode_image
from tests.indexing.dicom_files import file_bytes, image_dataset
from titrate import InputError

FOLDERS = ("titrate", "indexing", "calibration", "rag", "preference", "commands", "samples", "benchmarks", "tests")
MODULES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
CALLS = {"eval", "exec", "compile", "__import__", "yaml.load", "yaml.unsafe_load", "os.system", "os.popen"}
KEYWORDS: dict[str, tuple[object, ...]] = {
    "trust_remote_code": (False,),
    "allow_pickle": (False,),
    "weights_only": (True,),
    "shell": (False,),
}
"""The only constants that may be given; anything worked out at run time is not allowed either."""


def unsafe(source: str) -> list[str]:
    """Name each way in which this source could run what is in a stranger's file."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom):
            found += [str(node.module)] * ((node.module or "").split(".")[0] in MODULES)
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func).removeprefix("builtins.")
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            loads = name == "torch.load" and "weights_only" not in given
            found += [name] * (name in CALLS or loads)
            for keyword, allowed in KEYWORDS.items():
                if keyword in given:
                    value = given[keyword]
                    found += [keyword] * (not isinstance(value, ast.Constant) or value.value not in allowed)
        elif isinstance(node, ast.Dict):  # {"trust_remote_code": True}, passed on as keywords
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(value, ast.Constant) and key.value in KEYWORDS:
                    found += [str(key.value)] * (value.value not in KEYWORDS[str(key.value)])
    return found


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import a, dill.session",
        "from joblib import dump",
        "def f():\n    from cPickle import loads",
        "import marshal, os",
        "eval('1')",
        "builtins.exec(text)",
        "compile(text, 'f', 'exec')",
        "torch.load(path)",
        "torch.load(path, weights_only=flag)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "AutoModel.from_pretrained(path, trust_remote_code=True)",
        "AutoModel.from_pretrained(path, trust_remote_code=settings.trust)",
        "open_model(**{'trust_remote_code': True})",
        "subprocess.run(command, shell=True)",
        "yaml.load(text)",
        "os.system(command)",
    ],
)
def test_unsafe_code_is_recognised(source: str) -> None:
    assert len(unsafe(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "model.eval()",
        "re.compile('a')",
        "torch.compile(model)",
        "torch.load(path, weights_only=True)",
        "np.load(path, allow_pickle=False)",
        "AutoModel.from_pretrained(path, trust_remote_code=False)",
        "import pickles",
        "yaml.safe_load(text)",
    ],
)
def test_safe_code_passes(source: str) -> None:
    assert unsafe(source) == []


def test_nothing_of_ours_runs_a_strangers_code(repository: Path) -> None:
    paths = [repository / "cli.py"] + [path for name in FOLDERS for path in sorted((repository / name).rglob("*.py"))]
    assert len(paths) > 100
    paths.remove(repository / "tests/promises/hostile/encoder_folders.py")  # it writes what must not be run
    found = {str(path.relative_to(repository)): unsafe(path.read_text(encoding="utf-8")) for path in paths}
    assert {path: uses for path, uses in found.items() if uses} == {}


def test_nothing_outside_the_root_is_read_through_links(tmp_path: Path) -> None:
    root, secret = tmp_path / "root", tmp_path / "secret.png"
    (root / "deep").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(secret)
    (root / "file.png").symlink_to(secret)
    (root / "deep" / "up").symlink_to("../..")
    (root / "chain.png").symlink_to("deep/up/secret.png")
    (root / "absolute").symlink_to(tmp_path)
    for bad in ("file.png", "deep/up/secret.png", "chain.png", "absolute/secret.png", "deep/../../secret.png"):
        with pytest.raises(InputError, match="outside the corpus root"):
            resolve_image(root, bad)
    alias = tmp_path / "alias"
    alias.symlink_to(root)
    Image.new("RGB", (8, 8)).save(root / "own.png")
    assert resolve_image(alias, "own.png") == root / "own.png"


@pytest.mark.parametrize(
    "path",
    ["http://h/a.png", "https://h/a.dcm", "ftp://h/a", "s3://b/a.png", "file:///a.png", "data:image/png;base64,"],
)
def test_urls_are_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(InputError, match="URL"):
        resolve_image(tmp_path, path)


def png_bomb() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = (30_000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(1 << 20)))
        + chunk(b"IEND", b"")
    )


def tiff_bomb() -> bytes:
    """Three pages whose size entries (tags 256 and 257, one SHORT or LONG of value 4) are made to say 40,000."""
    buffer, small = BytesIO(), Image.new("L", (4, 4))
    small.save(buffer, "TIFF", compression="tiff_adobe_deflate", save_all=True, append_images=[small, small])
    data = buffer.getvalue()
    for tag in (b"\0\1", b"\1\1"):
        for kind in (b"\3\0", b"\4\0"):
            entry = tag + kind + b"\1\0\0\0"
            data = data.replace(entry + b"\4\0\0\0", entry + (40_000).to_bytes(4, "little"))
    return data


def webp_bomb() -> bytes:
    buffer = BytesIO()
    frames = [Image.new("RGB", (8, 8), (shade, 0, 0)) for shade in (0, 99)]
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:])
    data = buffer.getvalue()
    at = data.index(b"VP8X") + 12
    return data[:at] + (16_382).to_bytes(3, "little") * 2 + data[at + 6 :]


def dicom_bomb(**tags: int) -> bytes:
    return file_bytes(image_dataset(np.zeros((4, 4), np.uint8), **tags))


@pytest.mark.parametrize(
    "data",
    [
        png_bomb(),
        tiff_bomb(),
        webp_bomb(),
        dicom_bomb(Rows=65_535, Columns=65_535),
        dicom_bomb(NumberOfFrames=2**31 - 1),
        dicom_bomb(SamplesPerPixel=65_535, Rows=8000, Columns=8000),
        dicom_bomb(Rows=7000, Columns=7000, BitsAllocated=8, NumberOfFrames=90_000),
    ],
    ids=["png", "tiff", "webp", "rows", "frames", "samples", "product"],
)
def test_bombs_are_refused_before_they_go_off(data: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=r"limit|claims|fewer pixels"):
            decode_image(data, "a")
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


def other_formats() -> Iterator[Any]:
    for kind in ("GIF", "BMP", "PPM", "TGA", "PCX", "ICO", "JPEG2000", "PDF", "EPS", "SGI", "DDS"):
        buffer = BytesIO()
        Image.new("RGB", (16, 16), (9, 99, 199)).save(buffer, kind)
        yield pytest.param(buffer.getvalue(), id=kind)
    yield pytest.param(b"8BPS\0\1" + bytes(6) + b"\0\3\0\0\0\4\0\0\0\4\0\x08\0\3" + bytes(200), id="PSD")
    yield pytest.param(b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>', id="SVG")
    yield pytest.param(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\nshowpage\n", id="PS")
    yield pytest.param(b"\x1f\x8b\x08" + bytes(300), id="gzip")
    yield pytest.param(b"\x93NUMPY\x01\0" + bytes(300), id="npy")
    yield pytest.param(b"\x80\x04\x95cos\nsystem\n", id="pickle")


@pytest.mark.parametrize("data", list(other_formats()))
def test_formats_outside_the_list_are_refused(data: bytes) -> None:
    with pytest.raises(InputError, match="is not PNG, JPEG, TIFF, WebP or DICOM"):
        decode_image(data, "a.png")
