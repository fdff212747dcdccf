"""The guarantee on the shipped model's own outcomes, the samples' patients resampled."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks.validity import METHODS, error_rates

if TYPE_CHECKING:
    from rag import TransformersMLLM

MAX_K, RESAMPLES, PATIENTS = 2, 300, 180
MOST = 2
"""Questions of a patient: scoring them takes most of the time."""


@pytest.mark.slow
def test_no_method_certifies_what_is_not_so_too_often(
    samples: Path, index_folder: Path, mllm: "TransformersMLLM"
) -> None:
    from indexing import Encoder, Index
    from rag import PromptTemplate, closed_questions, read_questions, retrieve, score_outcomes

    path = samples / "questions.jsonl"
    asked = closed_questions(read_questions(path, splits=["calibrate", "test"]), path)
    patients = sorted({question.unit for question in asked})
    kept = set(patients[:: max(1, len(patients) // PATIENTS)])
    of_each = Counter[str]()
    chosen = []
    for question in asked:
        of_each[question.unit] += 1
        if question.unit in kept and of_each[question.unit] <= MOST:
            chosen.append(question)
    encoder = Encoder.open(f"local-dir:{samples / 'models/encoder'}", "cpu")
    with Index.open(index_folder) as index:
        found = retrieve(index, encoder, chosen, MAX_K, out_of_domain="accept")
    table = score_outcomes(mllm, PromptTemplate(), found, MAX_K).table
    sizes = {name: len(set(table.select(name).units)) // 2 for name in sorted(set(table.domains))}
    assert min(sizes.values()) > 20
    rows = error_rates(table, sizes, RESAMPLES)
    assert len(rows) == len(METHODS) * len(sizes), "an alpha just below each domain's best risk"
    for row in rows:
        assert row["invalid policies"] > 0
        assert row["wrong"] <= row["bound"], row
    assert any(row["certified"] > 0 for row in rows), "a domain better than alpha can be certified at it"
