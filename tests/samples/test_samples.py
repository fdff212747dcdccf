"""The sample corpus is whole, free to copy, split by patient, small, and built the same way every time."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from samples.build import corpus
from titrate import InputError

Lines = list[dict[str, Any]]


def lines(path: Path) -> Lines:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def records(samples: Path) -> Lines:
    return lines(samples / "corpus.jsonl")


@pytest.fixture(scope="module")
def questions(samples: Path) -> Lines:
    return lines(samples / "questions.jsonl")


def test_every_image_is_there_and_none_besides(samples: Path, records: Lines) -> None:
    assert {path.relative_to(samples).as_posix() for path in (samples / "images").rglob("*") if path.is_file()} == {
        record["image"] for record in records
    }
    for record in records:
        with Image.open(samples / record["image"]) as image:
            assert min(image.size) > 0


def test_every_question_belongs_to_a_record(records: Lines, questions: Lines) -> None:
    by_id = {record["id"]: record for record in records}
    assert len(by_id) == len(records)
    assert len({question["id"] for question in questions}) == len(questions)
    for question in questions:
        record = by_id[question["record"]]
        for field in ("image", "domain", "patient", "study", "split"):
            assert question[field] == record[field]
        assert question["options"] is None or question["answer"] in question["options"]


def test_splits_are_by_patient(records: Lines) -> None:
    splits = defaultdict(set)
    for record in records:
        splits[record["patient"]].add(record["split"])
    assert all(len(names) == 1 for names in splits.values())
    assert set().union(*splits.values()) == {"train", "prefer", "calibrate", "test"}


def test_only_the_four_sources_under_their_licences(samples: Path, records: Lines) -> None:
    pairs = {(corpus.source_of(record), record["licence"]) for record in records}
    assert pairs == set(corpus.LICENCES.items())
    text = (samples / "LICENCES.md").read_text(encoding="utf-8")
    assert all(source in text for source in corpus.LICENCES)


def test_the_samples_stay_small(samples: Path) -> None:
    kept = [path for path in samples.rglob("*") if path.is_file() and path.parts[len(samples.parts)] != "models"]
    assert sum(path.stat().st_size for path in kept if "__pycache__" not in path.parts) <= 13_000_000


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Make six records of 1,000 bytes each: three train patients, one test patient, two that may not be copied."""
    root = tmp_path / "data"
    (root / "images/bccd-blood").mkdir(parents=True)
    made: Lines = []
    for name, split, licence, tags in (
        ("a", "train", "MIT", ["may-copy"]),
        ("b", "train", "MIT", ["may-copy"]),
        ("c", "train", "MIT", ["may-copy"]),
        ("d", "test", "MIT", ["may-copy"]),
        ("untagged", "train", "MIT", []),
        ("unlicensed", "train", "none stated", ["may-copy"]),
    ):
        image = f"images/bccd-blood/{name}.jpg"
        (root / image).write_bytes(name[0].encode() * 1000)
        made.append({"id": name, "image": image, "patient": name, "split": split, "licence": licence, "tags": tags})
    asked = [{"id": f"{record['id']}#1", "record": record["id"], "question": "Größe?"} for record in made]
    for file, values in (("corpus", made), ("questions", asked)):
        text = "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values)
        (root / f"{file}.jsonl").write_text(text, encoding="utf-8")
    return root


def test_build_copies_what_may_be_copied(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "images").mkdir(parents=True)
    (out / "images/stale.jpg").write_bytes(b"left by an earlier build")
    report = corpus.build(data, out, budget=10_000)
    assert [record["id"] for record in lines(out / "corpus.jsonl")] == ["a", "b", "c", "d"]
    assert (out / "corpus.jsonl").read_text().splitlines() == (data / "corpus.jsonl").read_text().splitlines()[:4]
    assert sorted(path.name for path in (out / "images").rglob("*.jpg")) == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    assert (out / "images/bccd-blood/a.jpg").read_bytes() == b"a" * 1000
    written = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    assert (report.records, report.questions, report.size, report.left_out) == (4, 4, written, 0)


def test_the_budget_costs_training_patients_only(data: Path, tmp_path: Path) -> None:
    report = corpus.build(data, tmp_path / "out", budget=4_000)
    kept = {record["id"] for record in lines(tmp_path / "out/corpus.jsonl")}
    assert (report.records, report.left_out) == (3, 1)
    assert "d" in kept
    assert corpus.build(data, tmp_path / "again", budget=4_000) == report
    assert {record["id"] for record in lines(tmp_path / "again/corpus.jsonl")} == kept


def test_a_budget_below_the_other_splits_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="raise the budget"):
        corpus.build(data, tmp_path / "out", budget=500)
    assert not (tmp_path / "out").exists()
