import json
from pathlib import Path

import pytest

from indexing import Record, SkippedRecord, read_corpus
from indexing.records import count_lines
from titrate.errors import InputError

GOOD = {"id": "a", "image": "a.png", "report": "Clear lungs."}


def read_one(tmp_path: Path, line: bytes) -> Record | SkippedRecord:
    path = tmp_path / "corpus.jsonl"
    path.write_bytes(line)
    [record] = read_corpus(path)
    return record


def test_reads_fields_and_line_numbers(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    full = {**GOOD, "id": 7, "domain": "radiology", "patient": "p", "study": "s", "split": "train", "licence": "CC0"}
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(GOOD).encode() + b"\n\n  \n" + json.dumps(full).encode())
    first, second = read_corpus(path)
    assert first == Record("a", "a.png", "Clear lungs.")
    assert second == Record("7", "a.png", "Clear lungs.", "radiology", "p", "s", "train")
    assert isinstance(first, Record) and isinstance(second, Record)
    assert (first.line, second.line) == (1, 4)
    assert count_lines(path) == 2


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[1]", "expected an object, found list"),
        (b"[" * 100_000, "not JSON"),
        (b'{"id": ' + b"9" * 5000 + b"}", "not JSON"),
        (b'{"image": "a.png", "report": "r"}', '"id" is missing'),
        (b'{"id": "a", "report": "r"}', '"image" is missing'),
        (b'{"id": "a", "image": "a.png", "report": "  "}', '"report" is missing'),
        (b'{"id": "a", "image": ["a.png"], "report": "r"}', '"image" must be text, found list'),
        (b'{"id": "a", "image": "a.png", "report": 3}', '"report" must be text, found int'),
        (b'{"id": true, "image": "a.png", "report": "r"}', '"id" must be text, found bool'),
        (b'{"id": "a", "image": "a.png", "report": "\\ud800"}', "lone surrogate"),
        (b'{"id": "a", "image": "a.png", "report": "r", "patient": {}}', '"patient" must be text, found dict'),
    ],
)
def test_bad_line_is_skipped_with_its_reason(tmp_path: Path, line: bytes, reason: str) -> None:
    record = read_one(tmp_path, line)
    assert isinstance(record, SkippedRecord)
    assert record.line == 1
    assert reason in record.reason


def test_skipped_record_keeps_its_id(tmp_path: Path) -> None:
    record = read_one(tmp_path, b'{"id": "a", "image": "a.png"}')
    assert record == SkippedRecord(1, "a", '"report" is missing or empty')


def test_missing_file_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="check the path"):
        read_corpus(tmp_path / "none.jsonl")
    with pytest.raises(InputError, match="check the path"):
        read_corpus(tmp_path)
