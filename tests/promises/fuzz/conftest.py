"""An index of a few records, made in a moment."""

import json
from pathlib import Path

import pytest

from indexing import CorpusOptions, Encoder, build_index


@pytest.fixture(scope="session")
def few_records(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an index of six records of each domain."""
    wanted = {"radiology": 6, "pathology": 6}
    kept = []
    for line in (samples / "corpus.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if record["split"] == "train" and wanted[record["domain"]]:
            wanted[record["domain"]] -= 1
            kept.append(line)
    folder = tmp_path_factory.mktemp("few")
    (folder / "corpus.jsonl").write_text("\n".join(kept))
    encoder = Encoder.open(f"local-dir:{samples / 'models/encoder'}", "cpu")
    build_index(folder / "corpus.jsonl", folder / "index", encoder, CorpusOptions(root=samples))
    return folder / "index"
