"""A prompt that is too long shows before the rest is asked, with its question and its number of reports."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli import main
from indexing import Encoder, Index
from rag import PromptTemplate, Question, TransformersMLLM, retrieve, score_outcomes
from tests.rag.openai_loopback import YES, Answer, failed, serving
from titrate import InputError


def test_a_server_that_reads_too_little(samples: Path, index_folder: Path, tmp_path: Path) -> None:
    """The last of forty questions is by far the longest: before, 39 were answered at every k, and none was named."""
    lines = [json.loads(line) for line in (samples / "questions.jsonl").read_text().splitlines()]
    asked = [line for line in lines if line["options"] and line["split"] == "test" and line["domain"] == "radiology"]
    asked = list({line["image"]: line for line in asked}.values())[:40]
    for number, line in enumerate(asked):
        line["id"] = f"q{number}"
    asked[-1]["question"] += " " + "Please look closely. " * 200
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in asked))

    def complete(body: Any) -> Answer:
        text = body["messages"][0]["content"][1]["text"]
        return failed(400, "This model's maximum context length is 1024 tokens.") if len(text) > 4000 else YES

    with serving(complete) as running:
        words = ["evaluate", tmp_path / "questions.jsonl", "--root", samples, "--index", index_folder, "--max-k", 2]
        words += ["--mllm", f"{running.url}#small", "--outcomes", tmp_path / "outcomes", "--device", "cpu"]
        result = CliRunner().invoke(main, [str(word) for word in words], catch_exceptions=False)
        assert len(running.completions()) <= 5
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    message = result.stderr.splitlines()[-1]
    assert message.startswith("titrate: question q39 with 2 reports: the prompt is too long for server"), message


def test_a_model_that_reads_too_little(
    index: Index,
    encoder: Encoder,
    tiny: TransformersMLLM,
    judged: Sequence[Question],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    retrieved = retrieve(index, encoder, list(judged), 2)
    few = PromptTemplate(max_report_tokens=32)
    monkeypatch.setattr(type(tiny), "context_tokens", 12)
    with pytest.raises(InputError, match=r"^question \S+ with \d reports?: the prompt has \d+ tokens, .* at most 12;"):
        score_outcomes(tiny, few, retrieved, 2)
