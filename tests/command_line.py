"""Running a command line, and what a refusal looks like."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from click.testing import Result

Run = Callable[..., Result]


def an_image(samples: Path, split: str = "test") -> tuple[Path, dict[str, Any]]:
    for line in (samples / "corpus.jsonl").read_text().splitlines():
        record: dict[str, Any] = json.loads(line)
        if record["split"] == split:
            return samples / record["image"], record
    raise AssertionError(split)


def refused(result: Result, *words: str) -> None:
    """Check for exit code 2 and one line on stderr that holds these words."""
    assert result.exit_code == 2, result.output
    errors = [line for line in result.stderr.splitlines() if line.startswith("titrate: ")]
    assert len(errors) == 1, result.stderr
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in errors[0]
