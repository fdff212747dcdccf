"""What a step sees depends on the seed and the step alone."""

from pathlib import Path

import torch

from indexing import CorpusOptions, Encoder, TuningSettings
from indexing.tuning.batches import Batches
from indexing.tuning.pairs import read_archive
from tests.indexing.tuning.conftest import write_plates

LONG = "One is long. " * 20 + "The last sentence."


def test_batches_are_the_same_from_any_step_on(base: str, tmp_path: Path) -> None:
    """Seven records, two of one image: three batches of two or three in each of two epochs."""
    again = {"id": "again", "image": "0.png", "report": LONG, "patient": "P0"}
    corpus = write_plates(tmp_path / "c", 6, more=[again])
    archive = read_archive(corpus, CorpusOptions(), lambda skipped: None, None)
    towers = Encoder.open(base, device="cpu").towers
    batches = Batches(archive, archive.pairs, towers, TuningSettings(epochs=2, batch_size=3))
    assert batches.in_epoch == 3
    drawn = list(batches.from_step(0))
    assert [len(batch.texts) for batch in drawn] == [3, 2, 2] * 2
    for epoch in (drawn[:3], drawn[3:]):
        images = [image for batch in epoch for image in batch.images]
        assert sorted(images) == sorted(["0.png", *(f"{number}.png" for number in range(6))])
        keys = {key for batch in epoch for key in batch.keys}
        assert len(keys) == 5, "four colours, whatever the age, and the long report"
    first, second = (torch.cat([batch.pixels for batch in epoch]) for epoch in (drawn[:3], drawn[3:]))
    assert not torch.equal(first, second)
    for step, batch in enumerate(batches.from_step(4), start=4):
        assert torch.equal(batch.pixels, drawn[step].pixels)
        assert (batch.texts, batch.keys, batch.images) == (drawn[step].texts, drawn[step].keys, drawn[step].images)
    read = [text for batch in drawn for text in batch.texts if "long" in text or "last" in text]
    assert len(read) == 2 and all(LONG.endswith(text) for text in read)
