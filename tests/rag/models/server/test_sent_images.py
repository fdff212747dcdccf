"""What goes to a model's server, besides what was asked: of an image its pixels, and word of where it goes."""

import base64
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from indexing import load_image
from rag import OpenAIMLLM, Prompt
from tests.rag.openai_loopback import Served
from titrate import InputError, TitrateWarning

NAME = "Doe^Jane"


def telling_image(path: Path, mode: str) -> Path:
    """An image whose file names a patient in every place that a PNG or JPEG has for words."""
    pixels = np.arange(12 * 16 * 3, dtype=np.uint8).reshape(12, 16, 3)
    image = Image.fromarray(pixels).convert(mode)
    exif = Image.Exif()
    exif[0x010E] = NAME  # ImageDescription
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes() + NAME.encode()
    words = PngInfo()
    words.add_text("Patient", NAME)
    words.add_itxt("Comment", NAME)
    more = {"pnginfo": words} if path.suffix == ".png" else {"comment": NAME.encode()}
    image.save(path, exif=exif, icc_profile=profile, dpi=(72, 72), **more)
    assert path.read_bytes().count(NAME.encode()) >= 3
    return path


def chunks(png: bytes) -> list[str]:
    """The names of the parts of a PNG file."""
    found, place = [], 8
    while place < len(png):
        (length,) = struct.unpack(">I", png[place : place + 4])
        found.append(png[place + 4 : place + 8].decode())
        place += 12 + length
    return found


@pytest.mark.parametrize(("name", "mode"), [("a.png", "RGB"), ("a.jpg", "RGB"), ("a.jpg", "L"), ("a.png", "P")])
@pytest.mark.parametrize("decoded", [True, False], ids=["as load_image gives it", "as Pillow opens it"])
def test_of_an_image_the_pixels_are_sent(served: Served, tmp_path: Path, name: str, mode: str, decoded: bool) -> None:
    path = telling_image(tmp_path / name, mode)
    image = load_image(path) if decoded else Image.open(path)
    behind = OpenAIMLLM.open(f"{served.url}#small")
    served.asked.clear()
    behind.generate([Prompt(image, "Is it?")], 1)
    [body] = served.completions()
    sent = base64.b64decode(body["messages"][0]["content"][0]["image_url"]["url"].partition(",")[2])
    assert set(chunks(sent)) == {"IHDR", "IDAT", "IEND"} and NAME.encode() not in sent
    (tmp_path / "sent.png").write_bytes(sent)
    with Image.open(tmp_path / "sent.png") as received:
        assert np.array_equal(np.asarray(received.convert("RGB")), np.asarray(image.convert("RGB")))


def test_an_image_is_written_once_for_all_its_prompts(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    behind = OpenAIMLLM.open(f"{served.url}#small")
    written: list[Image.Image] = []
    save = Image.Image.save

    def counted(self: Image.Image, *arguments: object, **more: object) -> None:
        written.append(self)
        save(self, *arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Image.Image, "save", counted)
    one, other = Image.new("RGB", (8, 8), "white"), Image.new("RGB", (8, 8), "black")
    behind.generate([Prompt(image, f"Is it {number}?") for image in (one, other) for number in range(3)], 1)
    assert len(written) == 2, "one file for each image, not for each prompt"
    urls = [body["messages"][0]["content"][0]["image_url"]["url"] for body in served.completions()[-6:]]
    assert sorted(map(urls.count, urls)) == [3] * 6


@pytest.mark.parametrize(
    ("address", "told"),
    [
        (
            "https://gpu.example.org/v1",
            r"reports of other patients, go to gpu\.example\.org, which is not this machine$",
        ),
        ("http://10.0.0.7:8000/v1", r"go over plain http to 10\.0\.0\.7, which is not this machine; https would hide"),
    ],
)
def test_that_reports_leave_this_machine_is_told(monkeypatch: pytest.MonkeyPatch, address: str, told: str) -> None:
    monkeypatch.setattr("rag.models.server.connection.OpenAIServer.models", lambda self: [])
    with pytest.warns(TitrateWarning, match=told) as warned, pytest.raises(InputError, match="which model"):
        OpenAIMLLM.open(address)
    assert len(warned) == 1


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.3.2.1", "[::1]"])
def test_of_this_machine_nothing_is_told(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setattr("rag.models.server.connection.OpenAIServer.models", lambda self: [])
    with pytest.raises(InputError, match="which model"):  # a warning would be an error here
        OpenAIMLLM.open(f"http://{host}:8000/v1")
