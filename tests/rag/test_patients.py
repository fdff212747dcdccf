"""A patient is recognised however the id is written: nothing of theirs is read, and overlap is seen."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from indexing import Encoder, Index, build_index
from rag import make_query
from rag.outcomes.splits import other_patient_hashes
from rag.retrieval.routing import retrieve
from titrate import InputError, check_no_overlap


def sample_images(samples: Path, folder: Path, number: int) -> list[str]:
    """Copy images of as many patients, all of one domain."""
    taken: list[str] = []
    with (samples / "corpus.jsonl").open() as lines:
        for record in map(json.loads, lines):
            if record["domain"] == "radiology" and len(taken) < number:
                taken.append(f"{len(taken)}{Path(record['image']).suffix}")
                shutil.copyfile(samples / record["image"], folder / taken[-1])
    return taken


def read_of(
    folder: Path, encoder: Encoder, image: str, patient: str | int | None = None, study: str | None = None
) -> set[str]:
    """Ids of all records that a question about an image may read."""
    with Index.open(folder) as index:
        query = make_query(folder.parent / image, "?", patient=patient, study=study)
        found = retrieve(index, encoder, [query], 8, out_of_domain="accept")
        return {match.record.id for match in found.matches[0]}


def questions(path: Path, image: str, **fields: object) -> Path:
    asked = {"id": "q", "image": image, "question": "?", "answer": "a", "options": None, "split": "calibrate"}
    path.write_text(json.dumps({**asked, **fields}) + "\n")
    return path


def overlap(folder: Path, path: Path, patient: str) -> dict[str, set[str]]:
    with Index.open(folder) as index:
        others = other_patient_hashes(path, "calibrate", index)
    check_no_overlap([patient], others)
    return others


def test_a_table_of_float_ids_names_the_same_patients(samples: Path, encoder: Encoder, tmp_path: Path) -> None:
    images = sample_images(samples, tmp_path, 5)
    rows = [[f"r{row}", image, f"Report {row}.", float(10000032 + row // 2)] for row, image in enumerate(images[:4])]
    with (tmp_path / "corpus.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "image", "report", "subject_id"], *rows])
    build_index(tmp_path / "corpus.csv", tmp_path / "index", encoder)
    assert read_of(tmp_path / "index", encoder, images[4]) == {"r0", "r1", "r2", "r3"}
    for patient in ("10000033", 10000033, "10000033.0", " 10000033 "):
        assert read_of(tmp_path / "index", encoder, images[4], patient=patient) == {"r0", "r1"}
    path = questions(tmp_path / "questions.jsonl", images[4], patient="10000033")
    with pytest.raises(InputError, match="1 are in the index"):
        overlap(tmp_path / "index", path, "10000033")
    assert "the index" in overlap(tmp_path / "index", path, "10000034")
