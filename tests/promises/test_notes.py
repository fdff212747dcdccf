"""What works, but not as expected, is told in one line at the command line, and as a warning in Python."""

import json
import warnings
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli import main
from tests.rag.architectures import write_model
from titrate import TitrateWarning


def test_a_model_that_cannot_share_reports(
    samples: Path, index_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = (samples / "questions.jsonl").read_text().splitlines()
    closed = [line for line in lines if json.loads(line)["options"] and json.loads(line)["split"] == "test"]
    (tmp_path / "questions.jsonl").write_text("\n".join(closed[:3]) + "\n")
    model = write_model("lfm2", tmp_path / "model")
    words = ["evaluate", "questions.jsonl", "--root", samples, "--index", index_folder, "--mllm", model, "--max-k", 1]
    shown = warnings.showwarning
    result = CliRunner().invoke(main, [str(word) for word in [*words, "--device", "cpu"]], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    [note] = result.stderr.splitlines()
    assert note.startswith("titrate: note: this model cannot share reports between prompts (it has layers of")
    assert "Warning" not in result.output
    assert warnings.showwarning is shown
    with pytest.warns(TitrateWarning, match="ours"):
        warnings.warn("ours", TitrateWarning, stacklevel=1)
