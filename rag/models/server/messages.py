"""What a request holds: an image's pixels alone, each distinct image written once, and text without special tokens."""

import base64
import re
from collections.abc import Iterable
from io import BytesIO
from typing import Any

from PIL import Image

SPECIAL = re.compile(r"<[^<>\s]{1,40}>|\[/?(?:INST|IMG)\w*\]")
"""What a model may take for a special token."""


def data_urls(images: Iterable[Image.Image]) -> dict[int, str]:
    """The data URL of every image, by its `id`.

    Prompts of one image, one for each number of contexts, share it: writing 8 megapixels as PNG takes longer than
    many an answer.
    """
    distinct = {id(image): image for image in images}
    return {key: data_url(image) for key, image in distinct.items()}


def data_url(image: Image.Image) -> str:
    """The pixels alone, as PNG: what else came with the image's file, such as a profile or a comment, stays here.

    The image keeps its size: which size a server's model sees is not known, and pixels taken away here would make it
    answer otherwise.
    """
    file = BytesIO()
    plain = image if image.mode in ("L", "RGB") else image.convert("RGB")
    Image.frombytes(plain.mode, plain.size, plain.tobytes()).save(file, "PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def user_message(image: str, text: str) -> dict[str, Any]:
    """A chat message: the image, then the text without what a model may take for a special token."""
    parts = [{"type": "image_url", "image_url": {"url": image}}, {"type": "text", "text": SPECIAL.sub(" ", text)}]
    return {"role": "user", "content": parts}
