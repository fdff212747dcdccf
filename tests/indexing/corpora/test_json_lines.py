"""The JSON-lines corpus, line by line."""

import json
from pathlib import Path

import pytest

from indexing import Record, SkippedRecord
from indexing.corpora.open import open_corpus
from titrate import InputError

GOOD = {"id": "a", "image": "a.png", "report": "Clear lungs."}


def read_one(tmp_path: Path, line: bytes) -> Record | SkippedRecord:
    path = tmp_path / "corpus.jsonl"
    path.write_bytes(line)
    corpus = open_corpus(path)
    [record] = corpus
    assert len(corpus) == 1
    return record


def test_reads_fields_and_line_numbers(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    full = {**GOOD, "id": 7, "domain": "radiology", "patient": "p", "study": "s", "split": "train", "licence": "CC0"}
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(GOOD).encode() + b"\n\n  \n" + json.dumps(full).encode())
    corpus = open_corpus(path)
    first, second = corpus
    assert first == Record("a", "a.png", "Clear lungs.")
    assert second == Record("7", "a.png", "Clear lungs.", "radiology", "p", "s", "train")
    assert isinstance(first, Record) and isinstance(second, Record)
    assert (first.line, second.line) == (1, 4)
    assert len(corpus) == 2


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "not JSON"),
        (b'{"id": "a", "image": "a.png", "report": "cut o', "not JSON (Unterminated string starting at)"),
        (b"\xff\xf0", "not UTF-8 text"),
        (b"[1]", "expected an object, found list"),
        (b"null", "expected an object, found NoneType"),
        (b"[" * 100_000, "not JSON that can be read (brackets too deep)"),
        (b'{"id": "a", "x": ' + b"[" * 100_000, "not JSON that can be read (brackets too deep)"),
        (b'{"id": ' + b"9" * 5000 + b"}", '"id" must be text or a whole number of at most 60 digits'),
        (b'{"id": 1e400, "image": "a.png", "report": "r"}', '"id" must be text or a whole number'),
        (b'{"id": 1.5, "image": "a.png", "report": "r"}', '"id" must be text or a whole number'),
        (b'{"id": "", "image": "a.png", "report": "r"}', '"id" is missing or empty'),
        (b'{"id": null, "image": "a.png", "report": "r"}', '"id" is missing or empty'),
        (b'{"id": NaN, "image": "a.png", "report": "r"}', '"id" is missing or empty'),
        (b'{"id": "a", "report": "r"}', '"image" is missing or empty'),
        (b'{"id": "a", "image": "a.png", "report": "  "}', '"report" is missing or empty'),
        (b'{"id": "a", "image": "a.png", "report": "nan"}', '"report" is missing or empty'),
        (b'{"id": "a", "image": {}, "report": "r"}', '"image" must be text, found dict'),
        (b'{"id": "a", "image": [], "report": "r"}', '"image" is an empty list'),
        (b'{"id": "a", "image": ["a.png", ""], "report": "r"}', "one of its paths is empty"),
        (b'{"id": "a", "image": ["a.png", ["b.png"]], "report": "r"}', '"image" must be text, found list'),
        (b'{"id": "a", "image": "a.png", "report": 3}', '"report" must be text, found int'),
        (b'{"id": "a", "image": "a.png", "report": ["r"]}', '"report" must be text, found list'),
        (b'{"id": true, "image": "a.png", "report": "r"}', '"id" must be text, found bool'),
        (b'{"id": "a", "image": "a.png", "report": "\\ud800"}', '"report" holds a broken character'),
        (b'{"id": "a", "image": "a\\u0000.png", "report": "r"}', '"image" holds a NUL character'),
        (b'{"id": "a", "image": "a.png", "report": "r", "patient": {}}', '"patient" must be text, found dict'),
        (b'{"id": "a", "image": "' + b"a" * 5000 + b'", "report": "r"}', '"image" has more than 4,096 characters'),
        (b'{"id": "a", "image": "a.png", "report": "' + b"a" * 100_001 + b'"}', "more than 100,000 characters"),
        (b'{"id": "' + b"a" * (4 << 20) + b'"}', "a line of more than 4 MiB"),
    ],
)
def test_bad_line_is_skipped_with_its_reason(tmp_path: Path, line: bytes, reason: str) -> None:
    record = read_one(tmp_path, line)
    assert isinstance(record, SkippedRecord)
    assert record.line == 1
    assert reason in record.reason
    assert "\n" not in record.reason


def test_lines_after_an_overlong_one_are_read(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_bytes(b"x" * (9 << 20) + b"\n" + json.dumps(GOOD).encode() + b"\n")
    first, second = open_corpus(path)
    assert isinstance(first, SkippedRecord) and isinstance(second, Record)
    assert second.line == 2


def test_a_number_too_long_in_a_field_of_no_interest_does_no_harm(tmp_path: Path) -> None:
    line = json.dumps(GOOD)[:-1] + ', "pixels": ' + "9" * 5000 + "}"
    assert read_one(tmp_path, line.encode()) == Record("a", "a.png", "Clear lungs.")


def test_skipped_record_keeps_its_id(tmp_path: Path) -> None:
    reason = '"report" is missing or empty; where it has another name, give --field report=NAME'
    assert read_one(tmp_path, b'{"id": "a", "image": "a.png"}') == SkippedRecord(1, "a", reason)
    assert read_one(tmp_path, b'{"image": "a.png"}') == SkippedRecord(1, "a.png", reason)
    reason = '"report" is missing or empty'
    assert read_one(tmp_path, b'{"id": "a", "image": "a.png", "report": ""}') == SkippedRecord(1, "a", reason)


def test_missing_file_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="check the path"):
        open_corpus(tmp_path / "none.jsonl")
