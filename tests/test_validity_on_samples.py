"""The guarantee on the shipped model's own outcomes, the samples' patients resampled."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks.validity import METHODS, error_rates, join

if TYPE_CHECKING:
    from rag import TransformersMLLM

MAX_K, RESAMPLES = 3, 1000


@pytest.mark.slow
def test_no_method_certifies_what_is_not_so_too_often(
    samples: Path, index_folder: Path, mllm: "TransformersMLLM"
) -> None:
    from rag import Pipeline, closed_questions, read_questions, retrieve, score_outcomes

    path = samples / "questions.jsonl"
    asked = closed_questions(read_questions(path, splits=["calibrate", "test"]), path)
    with Pipeline.open(index_folder, mllm=mllm, k=0) as pipeline:
        found = retrieve(pipeline.index, pipeline.encoder, asked, MAX_K, decline=False)
        table = score_outcomes(mllm, pipeline.prompt, found, MAX_K).table
    sizes = {name: len(set(table.select(name).units)) // 2 for name in sorted(set(table.domains))}
    assert min(sizes.values()) > 50
    rows = error_rates(join([table]), sizes, RESAMPLES)
    assert len(rows) == len(METHODS) * len(sizes), "an alpha just below each domain's best risk"
    for row in rows:
        assert row["invalid policies"] > 0
        assert row["wrong"] <= row["bound"], row
    assert any(row["certified"] > 0.5 for row in rows), "a domain better than alpha is certified at it"
