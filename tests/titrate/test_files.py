"""Files are written whole or not at all; lines are read with errors that name them; joined parts hash apart."""

import stat
from pathlib import Path

import pytest

from titrate import InputError
from titrate.files import hash_bytes, hash_files, hash_json, read_jsonl, write_atomic


def test_write_atomic_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_atomic(path, "old")
    write_atomic(path, b"new \xff")
    assert path.read_bytes() == b"new \xff"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_write_atomic_keeps_the_old_content_when_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.txt"
    write_atomic(path, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(InputError, match="No space left"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_write_atomic_needs_the_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot write .*nowhere"):
        write_atomic(tmp_path / "nowhere" / "file.txt", "text")


def test_read_jsonl_counts_lines_and_skips_blank_ones(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\n\n{"a": "\xc3\xa9"}\n')
    assert list(read_jsonl(path)) == [(1, {"a": 1}), (3, {"a": "é"})]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1}\n{"a": }\n', "line 2: not JSON"),
        (b"[1]\n", "line 1: expected an object, found list"),
        (b'{"a": "\xff"}\n', "not UTF-8"),
    ],
)
def test_read_jsonl_names_the_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        list(read_jsonl(path))


def test_read_jsonl_of_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        list(read_jsonl(tmp_path / "none.jsonl"))


def test_hashes(tmp_path: Path) -> None:
    assert hash_bytes(b"ab", b"c") != hash_bytes(b"a", b"bc")
    assert hash_json({"a": 1, "b": 2}) == hash_json({"b": 2, "a": 1}) != hash_json({"a": 1, "b": 3})
    (tmp_path / "one").write_text("text")
    (tmp_path / "two").write_text("text")
    assert hash_files([tmp_path / "one"]) != hash_files([tmp_path / "two"])
    with pytest.raises(InputError, match="cannot read"):
        hash_files([tmp_path / "three"])
