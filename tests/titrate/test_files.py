"""Files are written whole or not at all; lines are read with errors that name them; joined parts hash apart."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from titrate import InputError
from titrate.files import hash_bytes, hash_files, hash_json, open_private, read_jsonl, write_atomic


def test_write_atomic_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_atomic(path, "old")
    write_atomic(path, b"new \xff")
    assert path.read_bytes() == b"new \xff"
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture(params=[(0o077, 0o600), (0o027, 0o640), (0o022, 0o644)])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """Of the process for the time of a test; what a file without a mode of its own has under it."""
    mask, expected = request.param
    before = os.umask(mask)
    yield expected
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_umask_says_who_reads_a_file_and_a_private_one_is_its_owners(tmp_path: Path, umask: int) -> None:
    write_atomic(tmp_path / "plain", "text")
    write_atomic(tmp_path / "private", "text", private=True)
    open_private(tmp_path / "added to").close()
    assert [mode(tmp_path / name) for name in ("plain", "private", "added to")] == [umask, 0o600, 0o600]


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    theirs, link = tmp_path / "theirs", tmp_path / "link"
    theirs.write_text("theirs")
    link.symlink_to(theirs)
    with pytest.raises(OSError, match="link is a symbolic link"):
        open_private(link)
    write_atomic(link, "ours")
    assert theirs.read_text() == "theirs" and link.read_text() == "ours" and not link.is_symlink()
    (tmp_path / "dangling").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic link"):
        open_private(tmp_path / "dangling")
    assert not (tmp_path / "elsewhere").exists()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a file"):
        open_private(tmp_path / "pipe")


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


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("pipe", "zero"):
        with pytest.raises(InputError, match="no ordinary file"):
            write_atomic(tmp_path / name, "x")
    assert (tmp_path / "pipe").is_fifo() and (tmp_path / "zero").is_symlink()
