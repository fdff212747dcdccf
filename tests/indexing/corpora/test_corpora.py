"""Sound corpora of every format, and what their columns may be called."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from indexing import Record, SkippedRecord
from indexing.corpora.open import open_corpus
from tests.indexing.tiny import SAMPLES

ROWS: list[dict[str, Any]] = [
    {"id": "a", "image": "a.png", "report": 'Two lines,\n"quoted"; clear.', "patient": "p1", "split": "train"},
    {"id": 7, "image": "sub/b.png", "report": "Großes Herz.", "patient": None, "split": "test"},
]
RECORDS = [
    Record("a", "a.png", 'Two lines,\n"quoted"; clear.', patient="p1", split="train"),
    Record("7", "sub/b.png", "Großes Herz.", split="test"),
]


def csv_text(delimiter: str) -> str:
    quoted = [
        ["id", "image", "report", "patient", "split", "age"],
        ["a", "a.png", '"Two lines,\n""quoted""; clear."', "p1", "train", "70"],
        ["7", "sub/b.png", "Großes Herz.", "NULL", "test", ""],
    ]
    return "\n".join(delimiter.join(cells) for cells in quoted) + "\n"


def write(path: Path) -> Path:
    if path.suffix == ".parquet":
        rows = [{**row, "id": str(row["id"])} for row in ROWS]
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(ROWS, indent=4))
    elif path.suffix in (".jsonl", ".ndjson"):
        path.write_text("\n".join(json.dumps(row) for row in ROWS))
    else:
        path.write_text(csv_text("\t" if path.suffix == ".tsv" else ","), encoding="utf-8")
    return path


@pytest.mark.parametrize("suffix", ["jsonl", "ndjson", "json", "csv", "CSV", "tsv", "parquet"])
def test_every_format_gives_the_same_records_and_again(tmp_path: Path, suffix: str) -> None:
    corpus = open_corpus(write(tmp_path / f"corpus.{suffix}"))
    assert corpus.root == tmp_path
    assert len(corpus) == 2
    assert list(corpus) == RECORDS
    assert list(corpus) == RECORDS


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_csv_dialects(tmp_path: Path, delimiter: str, newline: str, mark: str) -> None:
    path = tmp_path / "corpus.csv"
    path.write_text(mark + csv_text(delimiter), encoding="utf-8", newline=newline)
    first, second = open_corpus(path)
    assert isinstance(first, Record) and isinstance(second, Record)
    assert (first.line, second.line) == (2, 4)  # the report of the first takes two lines
    assert [first.id, first.patient, second.id, second.patient] == ["a", "p1", "7", None]


def test_fields_rename_columns(tmp_path: Path) -> None:
    path = tmp_path / "corpus.csv"
    path.write_text("dicom_id;file;findings;report\n1;a.png;Clear.;unused\n\n;;;\n2;b.png;;unused\n")
    corpus = open_corpus(path, fields={"id": "dicom_id", "image": "file", "report": "findings"})
    assert list(corpus) == [Record("1", "a.png", "Clear."), SkippedRecord(5, "2", '"findings" is missing or empty')]
    assert len(corpus) == 2


def test_root_is_the_one_given(tmp_path: Path) -> None:
    assert open_corpus(write(tmp_path / "corpus.csv"), root=tmp_path.parent).root == tmp_path.parent


def test_without_an_id_the_image_path_serves(tmp_path: Path) -> None:
    path = tmp_path / "corpus.csv"
    path.write_text("image,report\nx/a.png,Clear.\n")
    assert list(open_corpus(path)) == [Record("x/a.png", "x/a.png", "Clear.")]


def test_released_files_of_rule_and_mmed_rag(tmp_path: Path) -> None:
    """One entry as each released file has it: IU-Xray, MIMIC-CXR, Harvard-FairVLMed, PMC-OA, Quilt-1M."""
    entries = [
        {"id": "CXR1_1", "report": "R1 .", "image_path": ["CXR1_1/0.png", "CXR1_1/1.png"], "split": "train"},
        {"id": "cf-41", "study_id": 50874322, "subject_id": 12171843, "report": "R2", "image_path": ["p12/cf.jpg"]},
        {"id": "data_07001", "image_path": "slo_07001.jpg", "report": "R3", "age": 69.3, "use": "validation"},
        {"id": 0, "image": "14633.jpg", "report": " R4", "metadata": {}, "image_root": "/elsewhere/pmc_oa"},
        {"caption": "R5", "image_path": "9bK.jpg", "subset": "quilt", "split": "train", "id": "train_2990"},
        {"image_path": "x.png", "report": "R6"},
    ]
    expected = [
        Record("CXR1_1", "CXR1_1/0.png", "R1 .", study="CXR1_1", split="train"),
        Record("CXR1_1#2", "CXR1_1/1.png", "R1 .", study="CXR1_1", split="train"),
        Record("cf-41", "p12/cf.jpg", "R2", patient="12171843", study="50874322"),
        Record("data_07001", "slo_07001.jpg", "R3"),
        Record("0", "14633.jpg", "R4"),
        Record("train_2990", "9bK.jpg", "R5", split="train"),
        Record("x.png", "x.png", "R6"),
    ]
    for name, text in (
        ("corpus.json", json.dumps(entries, indent=4)),
        ("corpus.jsonl", "\n".join(map(json.dumps, entries))),
    ):
        (tmp_path / name).write_text(text)
        corpus = open_corpus(tmp_path / name)
        assert list(corpus) == expected
        assert len(corpus) == 7
        assert [record.line for record in corpus] == [1, 1, 2, 3, 4, 5, 6]


def test_lists_by_split(tmp_path: Path) -> None:
    """R2Gen's annotation.json; an entry's own split goes before that of its list."""
    path = tmp_path / "annotation.json"
    entry = {"id": "a", "image_path": ["a.png"], "report": "r"}
    splits = {"train": [entry, {**entry, "id": "b", "split": "held out"}], "val": [], "test": [{**entry, "id": "c"}]}
    path.write_text(json.dumps(splits))
    records = [record for record in open_corpus(path) if isinstance(record, Record)]
    assert [(record.id, record.split) for record in records] == [("a", "train"), ("b", "held out"), ("c", "test")]


def test_json_entries_across_the_buffer_s_edge(tmp_path: Path) -> None:
    """9,000 entries of some 300 characters take three refills of a buffer of a mebibyte."""
    path = tmp_path / "corpus.json"
    entries = [{"id": number, "image": f"{number}.png", "report": "ä" * (200 + number % 100)} for number in range(9000)]
    path.write_text(json.dumps(entries, ensure_ascii=False, indent=2), encoding="utf-8")
    assert path.stat().st_size > 3 << 20
    expected = [Record(str(e["id"]), str(e["image"]), str(e["report"])) for e in entries]
    assert list(open_corpus(path)) == expected


def test_views_without_an_id(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_text(json.dumps({"image": ["a.png", "b.png", "a.png"], "report": "r", "study_id": 5}))
    assert list(open_corpus(path)) == [
        Record("a.png", "a.png", "r", study="5"),
        Record("b.png", "b.png", "r", study="5"),
    ]


def test_parquet_types(tmp_path: Path) -> None:
    """Ids with a gap become floats in pandas; categories, decimals, lists and bytes are what other writers leave."""
    path = tmp_path / "corpus.parquet"
    table = pa.table(
        {
            "id": pa.array([1.0, 2.0, None]),
            "image": pa.array([["a.png"], ["b.png", "c.png"], ["d.png"]]),
            "report": pa.array([b"one", b"two", b"\xff"], pa.binary()),
            "patient": pa.array(["p", "p", None]).dictionary_encode(),
            "study": pa.array([10, 20, 30], pa.decimal128(12, 0)),
            "split": pa.array(["train", "train", "train"], pa.string_view()),
            "pixels": pa.array([{"height": 1}] * 3),
        }
    )
    pq.write_table(table, path, row_group_size=2)
    corpus = open_corpus(path)
    assert list(corpus) == [
        Record("1", "a.png", "one", patient="p", study="10", split="train"),
        Record("2", "b.png", "two", patient="p", study="20", split="train"),
        Record("2#2", "c.png", "two", patient="p", study="20", split="train"),
        SkippedRecord(3, None, '"id" is missing or empty'),
    ]
    assert len(corpus) == 4


def test_the_samples_read_line_by_line() -> None:
    lines = (SAMPLES / "corpus.jsonl").read_text().splitlines()
    corpus = open_corpus(SAMPLES / "corpus.jsonl")
    assert len(corpus) == len(lines)
    assert [(r.id, r.line) for r in corpus] == [(str(json.loads(x)["id"]), n) for n, x in enumerate(lines, start=1)]
