"""Malformed corpora: each is refused in one line, or costs the bad rows only, with a reason for each."""

import gzip
import json
import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from indexing import Record, SkippedRecord
from indexing.corpora.open import open_corpus
from titrate import InputError

ENTRY = {"id": "a", "image": "a.png", "report": "r"}
HEADER = b"id,image,report\n"


def parquet(**columns: pa.Array) -> bytes:
    file = BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


def twice_the_report() -> bytes:
    file = BytesIO()
    pq.write_table(pa.Table.from_arrays([pa.array(["x"])] * 3, names=["image", "report", "report"]), file)
    return file.getvalue()


def damaged_in_the_middle() -> bytes:
    """The first page of the last column is overwritten, the footer is whole."""
    data = bytearray(parquet(image=pa.array(["a.png"] * 10), report=pa.array([f"report {n}" for n in range(10)])))
    place = data.index(b"report 0")
    data[place - 40 : place + 60] = b"\xff" * 100
    return bytes(data)


SOUND = parquet(image=pa.array(["a.png"]), report=pa.array(["r"]))

REFUSED: list[tuple[str, bytes, str]] = [
    ("corpus.xlsx", b"PK\x03\x04", "an archive or a spreadsheet"),
    ("corpus.txt", b"a\n", "a corpus is a .jsonl, .ndjson, .json, .csv, .tsv or .parquet file or a folder of DICOM"),
    ("corpus", b"a\n", "convert or rename it"),
    ("corpus.jsonl.gz", gzip.compress(b"{}\n", mtime=0), "compressed; unpack it first"),
    ("corpus.jsonl", gzip.compress(b"{}\n", mtime=0), "compressed; unpack it first"),
    ("corpus.jsonl", "{}".encode("utf-16"), "UTF-16 text; save it as UTF-8"),
    ("corpus.csv", "id,image,report".encode("utf-16"), "UTF-16 text; save it as UTF-8"),
    ("corpus.csv", "id,image,report".encode("utf-16-be"), "not text (it holds NUL bytes)"),
    ("corpus.csv", SOUND, "is Parquet; name it .parquet"),
    ("corpus.csv", HEADER + b"1,a\0.png,r\n", "not text (it holds NUL bytes)"),
    ("corpus.csv", b"", "is empty; it needs a header"),
    ("corpus.csv", b"\n \n;;\n", "is empty; it needs a header"),
    ("corpus.csv", b'"id,image,report\n1,a.png,r\n', "line 1: the header cannot be read"),
    ("corpus.csv", b"x" * (1 << 20), "line 1: the header cannot be read (a line of more than 1,048,576"),
    (
        "corpus.csv",
        b"id,image,findings\n",
        "has no column report; it has id, image, findings; name it with --field ",
    ),
    ("corpus.csv", b"ID;Image;Report\n", "has no column image; it has ID, Image, Report; name it with --field image="),
    ("corpus.csv", b"1,a.png,r\n", "has no column image; it has 1, a.png, r;"),
    ("corpus.csv", b"a,b\x1b[31m\xff,\n", "it has a, 'b\\x1b[31m\\udcff', \"\";"),
    ("corpus.csv", ",".join(f"c{n}" for n in range(99)).encode(), "c10, c11 and 87 more;"),
    ("corpus.csv", b"id,image,report,report\n", "has the column report more than once"),
    ("corpus.tsv", HEADER, "has no column image; it has id,image,report;"),
    ("corpus.json", b"", "is neither a list of objects nor"),
    ("corpus.json", b"null", "is neither a list of objects nor"),
    ("corpus.json", b"\xff\xff", "is neither a list of objects nor"),
    ("corpus.json", json.dumps(ENTRY).encode() * 2, "one object a line belongs in a .jsonl file"),
    ("corpus.json", b'{"train": {"a": {}}}', "is neither a list of objects nor"),
    ("corpus.json", b'{"train": [] "val": []}', "is neither a list of objects nor"),
    ("corpus.json", b"{1: []}", "is neither a list of objects nor"),
    ("corpus.json", b"[] []", "is neither a list of objects nor"),
    ("corpus.json", b'[{"id": 1}, {"id": 2', "damaged or cut off at entry 2 (Expecting ',' delimiter)"),
    ("corpus.json", b'[{"id": 1}, {"id": "2', "damaged or cut off at entry 2 (Unterminated string starting at)"),
    ("corpus.json", b'[{"id": 1}', "damaged or cut off at entry 1 (expected , or ] after it)"),
    ("corpus.json", b'[{"id": 1} {"id": 2}]', "damaged or cut off at entry 1 (expected , or ] after it)"),
    ("corpus.json", b'[{"id": 1},]', "damaged or cut off at entry 2 (Expecting value)"),
    ("corpus.json", b"[" * 100_000, "damaged or cut off at entry 1 (brackets too deep)"),
    ("corpus.json", b'[{"report": "' + b"r" * (6 << 20), "damaged or cut off at entry 1 (Unterminated string"),
    ("corpus.parquet", b"", "is not Parquet, or is damaged"),
    ("corpus.parquet", b"PAR1", "is not Parquet, or is damaged"),
    ("corpus.parquet", HEADER * 9, "is not Parquet, or is damaged"),
    ("corpus.parquet", SOUND[:-1], "is not Parquet, or is damaged"),
    ("corpus.parquet", SOUND[: len(SOUND) // 2], "is not Parquet, or is damaged"),
    ("corpus.parquet", b"PAR1" + b"\xff" * 64 + b"\xff\xff\xff\x7fPAR1", "is not Parquet, or is damaged"),
    ("corpus.parquet", SOUND.replace(b"report", b"rep\xffrt"), "is not Parquet, or is damaged"),
    ("corpus.parquet", parquet(image=pa.array(["a"])), "has no column report; it has image;"),
    ("corpus.parquet", twice_the_report(), "has the column report more than once"),
    (
        "corpus.parquet",
        parquet(image=pa.array([{"bytes": b"", "path": "a"}]), report=pa.array(["r"])),
        "column image holds struct<bytes: binary, path: string>, not t",
    ),
    ("corpus.parquet", parquet(image=pa.array(["a"]), report=pa.array([True])), "column report holds bool, not text"),
    ("corpus.parquet", parquet(image=pa.array([[["a"]]]), report=pa.array(["r"])), "column image holds list<"),
]


@pytest.mark.parametrize(("name", "content", "message"), REFUSED)
def test_file_that_is_no_corpus_is_refused_in_one_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        open_corpus(tmp_path / name)
    assert message in str(caught.value)
    assert name in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "none.csv", "No such file or directory; check the path"),
        (lambda folder: folder / ("n" * 300 + ".csv"), "File name too long; check the path"),
        (lambda folder: folder / "a\0.csv", "is not valid"),
        (lambda folder: folder / "loop.csv", "check the path"),
        (lambda folder: folder / "pipe.csv", "is not an ordinary file"),
        (lambda folder: folder, "holds no DICOM files"),
    ],
)
def test_what_is_not_a_file_is_refused(tmp_path: Path, make: Callable[[Path], Path], message: str) -> None:
    (tmp_path / "loop.csv").symlink_to(tmp_path / "loop.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(InputError, match=message):
        open_corpus(make(tmp_path))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"reports": "report"}, "unknown field reports in --field; the fields are id, image, report, domain, patient"),
        ({"report": "findings"}, "has no column findings (--field report=findings); it has "),
        ({"patient": "mrn\n"}, "has no column 'mrn\\n' (--field patient='mrn\\n'); it has "),
    ],
)
@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv", "parquet"])
def test_fields_that_are_nowhere_are_refused(tmp_path: Path, suffix: str, fields: dict[str, str], message: str) -> None:
    path = tmp_path / f"corpus.{suffix}"
    content = {
        "jsonl": json.dumps(ENTRY).encode(),
        "json": json.dumps([ENTRY]).encode(),
        "csv": HEADER,
        "parquet": SOUND,
    }
    path.write_bytes(content[suffix])
    with pytest.raises(InputError) as caught:
        open_corpus(path, fields=fields)
    assert message in str(caught.value)


def test_image_root_must_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "corpus.csv").write_bytes(HEADER)
    with pytest.raises(InputError, match="is not a folder; check --root"):
        open_corpus(tmp_path / "corpus.csv", root=tmp_path / "none")


SKIPPED: list[tuple[str, bytes, list[tuple[int, str]]]] = [
    ("corpus.csv", HEADER + b"1,a.png\n2,b.png,r\n", [(2, "2 cells where the header has 3; quote cells that hold")]),
    ("corpus.csv", HEADER + b"1,a.png,no, unquoted\n2,b.png,r\n", [(2, "4 cells where the header has 3")]),
    ("corpus.csv", HEADER + b"1,a.png,\n2,b.png,r\n", [(2, '"report" is missing or empty')]),
    ("corpus.csv", HEADER + b",a.png,r\n2,b.png,r\n", [(2, '"id" is missing or empty')]),
    ("corpus.csv", HEADER + b"1,,r\n2,b.png,r\n", [(2, '"image" is missing or empty')]),
    ("corpus.csv", HEADER + b"1,a.png,NULL\n2,b.png,r\n", [(2, '"report" is missing or empty')]),
    ("corpus.csv", HEADER + b"1,a.png,Gro\xdf\n2,b.png,r\n", [(2, '"report" holds a broken character (not UTF-8')]),
    ("corpus.csv", HEADER + b'1,a.png,"never closed\n2,b.png,r\n', [(2, "not a row of a table (unexpected end of da")]),
    ("corpus.csv", HEADER + b'1,a.png,"open\n2,b.png,"r"\n', [(2, "not a row of a table (',' expected after '\"')")]),
    ("corpus.csv", HEADER + b'1,a.png,"3" nail"\n2,b.png,r\n', [(2, "double the quotes inside a quoted cell")]),
    ("corpus.csv", HEADER + b"1,a.png," + b"r" * 131_073 + b"\n2,b.png,r\n", [(2, "field larger than field limit")]),
    ("corpus.csv", HEADER + b"1,a.png," + b"r" * 100_001 + b"\n2,b.png,r\n", [(2, "more than 100,000 characters")]),
    ("corpus.csv", HEADER + b"1,a.png," + b"r," * (2 << 20) + b"\n2,b.png,r\n", [(2, "a line of more than 1,048,576")]),
    (
        "corpus.csv",
        HEADER + b'1,a.png,"open\nx\n\n' + b"r" * 200_000 + b"\n2,b.png,r\n",
        [(2, "field larger than field limit"), (3, "1 cells where"), (5, "field larger than field limit")],
    ),
    ("corpus.csv", HEADER + b"2,b.png,r\n" * 7000 + b"1,a\0.png,r\n", [(7002, '"image" holds a NUL character')]),
    ("corpus.json", b'[3, {"id": 2, "image": "b.png", "report": "r"}]', [(1, "expected an object, found int")]),
    ("corpus.json", b'[[], {"id": 2, "image": "b.png", "report": "r"}]', [(1, "expected an object, found list")]),
    ("corpus.json", b'[{}, {"id": 2, "image": "b.png", "report": "r"}]', [(1, '"image" is missing or empty')]),
    (
        "corpus.json",
        b'[{"id": 1, "image": "\\ud800", "report": "r"}, {"id": 2, "image": "b.png", "report": "r"}]',
        [(1, '"image" holds a broken character')],
    ),
    (
        "corpus.json",
        b'[{"id": ' + b"9" * 9999 + b', "image": "a.png"}, {"id": 2, "image": "b.png", "report": "r"}]',
        [(1, '"id" must be text or a whole number of at most 60 digits')],
    ),
    (
        "corpus.json",
        b'[{"id": "\xff", "image": "a.png"}, {"id": 2, "image": "b.png", "report": "r"}]',
        [(1, '"id" holds a broken character (not UTF-8')],
    ),
    (
        "corpus.parquet",
        parquet(
            id=pa.array([1.5, float("inf"), float("nan"), 2, None]),
            image=pa.array(["a.png", "a.png", "a.png", "b.png", "a.png"]),
            report=pa.array(["r"] * 5),
        ),
        [(1, '"id" must be text or'), (2, '"id" must be text or'), (3, '"id" is missing'), (5, '"id" is missing')],
    ),
    (
        "corpus.parquet",
        parquet(
            id=pa.array(["1", "2", "3"]),
            image=pa.array([[], ["b.png"], [None]], pa.list_(pa.string())),
            report=pa.array(["r", "r", "r"]),
        ),
        [(1, '"image" is an empty list'), (3, "one of its paths is empty")],
    ),
    (
        "corpus.parquet",
        parquet(
            id=pa.array(["1", "2"]),
            image=pa.array(["a.png", "b.png"]),
            report=pa.Array.from_buffers(pa.string(), 2, pa.array([b"\xfe", b"r"]).buffers()),
        ),
        [(1, '"report" holds a broken character (not UTF-8')],
    ),
    (
        "corpus.parquet",
        parquet(id=pa.array([1, 2]), image=pa.array(["a.png", "b.png"]), report=pa.array([None, "r"])),
        [(1, '"report" is missing or empty')],
    ),
    (
        "corpus.parquet",
        parquet(id=pa.array(["1", "2"]), image=pa.array(["a", "b.png"]), report=pa.array(["r" * 100_001, "r"])),
        [(1, "more than 100,000 characters")],
    ),
]


@pytest.mark.parametrize(("name", "content", "expected"), SKIPPED)
def test_bad_rows_cost_only_themselves(
    tmp_path: Path, name: str, content: bytes, expected: list[tuple[int, str]]
) -> None:
    (tmp_path / name).write_bytes(content)
    corpus = open_corpus(tmp_path / name)
    records = list(corpus)
    skipped = [record for record in records if isinstance(record, SkippedRecord)]
    kept = {record for record in records if isinstance(record, Record)}
    assert [record.line for record in skipped] == [line for line, _ in expected]
    for record, (_, reason) in zip(skipped, expected, strict=True):
        assert reason in record.reason
        assert record.reason.isprintable()
    assert kept == {Record("2", "b.png", "r")}
    assert len(corpus) == len(records)


def test_parquet_damaged_within_is_told_when_it_is_reached(tmp_path: Path) -> None:
    (tmp_path / "corpus.parquet").write_bytes(damaged_in_the_middle())
    corpus = open_corpus(tmp_path / "corpus.parquet")
    with pytest.raises(InputError, match="is damaged after row 0; write it again"):
        list(corpus)


def test_a_corpus_that_vanishes_is_told(tmp_path: Path) -> None:
    for name, content in (("c.jsonl", b"{}"), ("c.json", b"[]"), ("c.csv", HEADER), ("c.parquet", SOUND)):
        (tmp_path / name).write_bytes(content)
        corpus = open_corpus(tmp_path / name)
        (tmp_path / name).unlink()
        with pytest.raises(InputError, match="check the path"):
            list(corpus)
