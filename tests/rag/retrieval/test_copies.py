"""A copy of an indexed image, saved anew or at half the size, finds nothing of its patient, whoever it may be."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from indexing import Encoder, Index, load_image
from rag import Query, retrieve


def half(image: Image.Image) -> Image.Image:
    return image.resize((image.width // 2, image.height // 2), Image.Resampling.BICUBIC)


def pressed(image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=50)
    return Image.open(file).convert("RGB")


@pytest.mark.parametrize("change", [half, pressed, lambda image: pressed(half(image))])
def test_copies_are_the_querys_own(
    index: Index,
    encoder: Encoder,
    samples: Path,
    tmp_path: Path,
    change: Callable[[Image.Image], Image.Image],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with (samples / "corpus.jsonl").open(encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    indexed = [record for record in records if record["split"] == "train"][::27]
    patients = {}
    for number, record in enumerate(indexed):
        path = tmp_path / f"{number}.png"
        change(load_image(samples / record["image"])).save(path)
        patients[path] = record["patient"]
    queries = [Query(image=path, text="Is it?", options=None) for path in patients]

    def read_back() -> int:
        """How many queries get a report of their own patient."""
        found = retrieve(index, encoder, queries, 8, out_of_domain="accept")
        assert all(len(matches) == 8 for matches in found.matches)
        return sum(
            patients[query.image] in {match.record.patient for match in matches}
            for query, matches in zip(found.questions, found.matches, strict=True)
        )

    assert len(queries) == 20
    assert read_back() <= 1  # a picture of 80 pixels may be missed
    monkeypatch.setattr(index, "copies", lambda pictures: [[] for _ in pictures])
    assert read_back() >= 5  # by their embeddings alone
