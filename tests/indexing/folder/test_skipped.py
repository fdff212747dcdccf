"""The list of records that could not be used."""

import json
from pathlib import Path
from typing import Any

from indexing import BuildReport, Encoder, build_index
from tests.indexing.conftest import CorpusMaker

Built = tuple[Path, Path, BuildReport]


def test_the_list_of_the_skipped_is_whole_however_long(
    tmp_path: Path, encoder: Encoder, samples: list[dict[str, Any]], write_corpus: CorpusMaker
) -> None:
    bad = [{"id": f"b{number}", "image": "none.png", "report": "x"} for number in range(50)]
    report = build_index(write_corpus([samples[0], *bad]), tmp_path / "index", encoder)
    assert (report.skipped, len(report.problems)) == (50, 20)
    lines = (tmp_path / "index/skipped.jsonl").read_text().splitlines()
    assert [json.loads(line)["line"] for line in lines] == list(range(2, 52))
    build_index(write_corpus([samples[0]]), tmp_path / "index", encoder)
    assert not (tmp_path / "index/skipped.jsonl").exists()
