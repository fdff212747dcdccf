"""What cannot be read is an OSError, what cannot be understood a ValueError, and nothing is waited for."""

import os
import socket
import sys
from pathlib import Path

import pytest

from titrate import open_file, parse_json, read_text


def test_only_ordinary_files_are_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\xef\xbb\xbfwords\n")
    (tmp_path / "link").symlink_to("file")
    assert read_text(tmp_path / "file") == read_text(tmp_path / "link") == "words\n"
    os.mkfifo(tmp_path / "pipe")  # nobody writes to it: a plain open would wait for ever
    (tmp_path / "to a pipe").symlink_to("pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
    for name, words in {
        "pipe": "pipe or a device",
        "to a pipe": "pipe or a device",
        "/dev/zero": "pipe or a device",
        ".": "it is a folder",
        "socket": "No such device",
        "none": "No such file",
        "file/below": "Not a directory",
        "x" * 256: "File name too long",
        "\0": "no path",
        "\ud800": "no path",
    }.items():
        with pytest.raises(OSError) as refused:
            open_file(tmp_path / name)
        assert words in str(refused.value.strerror)


def test_a_file_is_closed_where_it_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(9):
        with pytest.raises(OSError):
            open_file(tmp_path / "pipe")
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 100_000, "brackets too deep"),
        ('{"a":' * 65 + "[]" + "}" * 65, "brackets too deep"),
        ("[" * (sys.getrecursionlimit() - 200) + "]" * (sys.getrecursionlimit() - 200), "brackets too deep"),
        ("9" * 5000, "thousands of digits"),
        ('{"a": ["\\ud800"]}', "surrogate"),
        ('{"\\uDC00": 1}', "surrogate"),
        (b'"\xff"', "not UTF-8"),
        (b"", "Expecting value"),
        ("{", "Expecting property name"),
        ("[1,]", "Expecting value|trailing comma"),
    ],
)
def test_what_is_not_plain_json(text: str | bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as refused:
        parse_json(text)
    assert len(str(refused.value)) < 80


def test_plain_json() -> None:
    assert parse_json(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}
    assert parse_json('"\\ud83e\\udec1 \\\\ud800"') == "\U0001fac1 \\ud800"  # a whole pair, and an escaped backslash
    assert parse_json("[" + "[]," * 1000 + "0]")[-1] == 0  # many brackets, none deep
    assert parse_json("[" * 64 + "]" * 64) != []
    assert parse_json("1e400") == float("inf")
