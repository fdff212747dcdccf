"""A few real records of the samples, and corpora made of them."""

import json
import shutil
from pathlib import Path
from typing import Any

from tests.indexing.tiny import SAMPLES


def few_records() -> list[dict[str, Any]]:
    """Real records, 20 of the train split of each domain and 2 of other splits."""
    with (SAMPLES / "corpus.jsonl").open(encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    kept: list[dict[str, Any]] = []
    for domain in ("pathology", "radiology"):
        kept += [r for r in records if r["domain"] == domain and r["split"] == "train"][:20]
        kept += [r for r in records if r["domain"] == domain and r["split"] != "train"][:2]
    return kept


def write_corpus_to(root: Path, records: list[dict[str, Any]]) -> Path:
    """Write records as a corpus file in a folder that also holds their images."""
    for record in records:
        target = root / record["image"]
        if not target.exists() and (SAMPLES / record["image"]).exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(SAMPLES / record["image"], target)
    root.mkdir(exist_ok=True)
    path = root / "corpus.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path
