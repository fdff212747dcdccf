"""Copy the openly licensed part of the project's research data into samples/.

    python -m samples.build.corpus --data ../shared/data --out samples

Only records tagged `may-copy` under one of the four licences below are copied: their lines and images byte for byte.
To stay within the size budget, whole patients of the `train` split are left out, in an order fixed by a seed: the same
data always give the same samples, and no question of another split is lost.
"""

import argparse
import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from titrate import InputError, read_jsonl, write_atomic

LICENCES = {"vqa-rad": "CC0-1.0", "bccd-blood": "MIT", "kermany-cxr": "CC BY 4.0", "bbbc038-nuclei": "CC0-1.0"}
BUDGET = 12_800_000
"""Bytes for both JSONL files and the images; with texts and code, and without the models, samples/ is under 13 MB."""
SEED = 0


@dataclass(frozen=True)
class Item:
    """A record with its questions, and the bytes that their lines and the image take."""

    record: dict[str, Any]
    questions: tuple[dict[str, Any], ...]
    size: int

    @property
    def patient(self) -> str:
        """The patient, or the image's own id where the source names no patients."""
        return str(self.record["patient"])


@dataclass(frozen=True)
class CopiedCounts:
    """How many records, questions and bytes were copied, and how many train records the budget left out."""

    records: int
    questions: int
    size: int
    left_out: int


def source_of(record: dict[str, Any]) -> str:
    """Name the source: the folder under images/ that holds the record's image."""
    return PurePosixPath(record["image"]).parts[1]


def may_copy(record: dict[str, Any]) -> bool:
    """Tell whether a record's tag and licence both allow copying it."""
    return "may-copy" in record["tags"] and LICENCES.get(source_of(record)) == record["licence"]


def as_line(value: dict[str, Any]) -> str:
    """Write one JSON line as the source data write it."""
    return json.dumps(value, ensure_ascii=False) + "\n"


def read_items(data: Path) -> list[Item]:
    """Read the records that may be copied, in the order of the corpus, each with its questions."""
    questions: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for _, question in read_jsonl(data / "questions.jsonl"):
        questions[question["record"]].append(question)
    items = []
    for _, record in read_jsonl(data / "corpus.jsonl"):
        if not may_copy(record):
            continue
        own = tuple(questions[record["id"]])
        lines = sum(len(as_line(value).encode()) for value in (record, *own))
        items.append(Item(record, own, lines + (data / record["image"]).stat().st_size))
    return items


def fit_budget(items: Sequence[Item], budget: int, seed: int) -> list[Item]:
    """Leave out whole `train` patients, in the order of a seeded hash of their names, until the rest fits.

    Raises
    ------
    InputError
        If the other splits alone exceed the budget.
    """
    train: dict[str, int] = defaultdict(int)
    for item in items:
        if item.record["split"] == "train":
            train[item.patient] += item.size
    excess = sum(item.size for item in items) - budget
    dropped = set()
    for patient in sorted(train, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest()):
        if excess <= 0:
            break
        dropped.add(patient)
        excess -= train[patient]
    if excess > 0:
        raise InputError(f"the samples exceed {budget} bytes even without training records; raise the budget")
    return [item for item in items if item.patient not in dropped]


def build(data: Path, out: Path, *, budget: int = BUDGET, seed: int = SEED) -> CopiedCounts:
    """Write corpus.jsonl, questions.jsonl and images/ under `out`, and remove images that no longer belong.

    Raises
    ------
    InputError
        If the data cannot be read, the output cannot be written, or the budget cannot be met.
    """
    items = read_items(data)
    kept = fit_budget(items, budget, seed)
    wanted = {out / item.record["image"] for item in kept}
    for item in kept:
        target = out / item.record["image"]
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(target, (data / item.record["image"]).read_bytes())
    for stale in {path for path in (out / "images").rglob("*") if path.is_file()} - wanted:
        stale.unlink()
    questions = [question for item in kept for question in item.questions]
    write_atomic(out / "corpus.jsonl", "".join(as_line(item.record) for item in kept))
    write_atomic(out / "questions.jsonl", "".join(map(as_line, questions)))
    return CopiedCounts(len(kept), len(questions), sum(item.size for item in kept), len(items) - len(kept))


def main() -> None:
    """Parse the command line and build."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the research data")
    parser.add_argument("--out", type=Path, default=Path("samples"), help="folder to write into")
    arguments = parser.parse_args()
    try:
        copied = build(arguments.data, arguments.out)
    except InputError as error:
        parser.exit(error.exit_code, f"{error}\n")
    print(
        f"{copied.records} records and {copied.questions} questions, {copied.size / 1e6:.1f} MB; "
        f"{copied.left_out} training records left out to fit {BUDGET / 1e6:.1f} MB"
    )


if __name__ == "__main__":
    main()
