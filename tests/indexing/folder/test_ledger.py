"""The ledger's rows by hand."""

import hashlib
import sqlite3
from pathlib import Path

import pytest

from indexing.folder.ledger import Ledger
from titrate import InputError, TitrateError


def test_settings_are_noted_together_and_replaced_by_name(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        assert ledger.settings() == {}
        ledger.fix({"b": "2", "a": "1"})
        ledger.fix({"b": "3"})
    with Ledger(tmp_path / "ledger") as ledger:
        assert ledger.settings() == {"a": "1", "b": "3"}


def test_a_record_that_moves_leaves_its_old_domain_named_until_it_is_confirmed(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        assert ledger.begin([("r", "ct"), ("s", "ct")]) == {}
        ledger.confirm([("r", "h1", "ct", "p1", b"1", b"x"), ("s", "h2", "ct", "", b"2", b"y")])
        assert ledger.points(["s", "t", "r"]) == {"r": ("ct", b"x"), "s": ("ct", b"y")}
        assert (ledger.counts(), ledger.patients(), ledger.unconfirmed()) == ({"ct": 2}, {"p1"}, {})
        assert ledger.begin([("r", "mri")]) == {"ct": ["r"]}
        assert ledger.confirmed("r") is None
    with Ledger(tmp_path / "ledger") as ledger:  # as a kill in between leaves it
        assert ledger.unconfirmed() == {"ct": ["r"], "mri": ["r"]}
        assert ledger.begin([("r", "mri")]) == {"ct": ["r"]}
        ledger.confirm([("r", "h3", "mri", "p1", b"3", b"x")])
        assert (ledger.counts(), ledger.unconfirmed()) == ({"ct": 1, "mri": 1}, {})
        assert ledger.withdraw("s") and not ledger.withdraw("s")
        assert ledger.unconfirmed() == {"ct": ["s"]}
        ledger.clear_unconfirmed()
        assert (ledger.counts(), ledger.unconfirmed()) == ({"mri": 1}, {})


def test_lines_and_what_the_corpus_no_longer_names() -> None:
    with Ledger(None) as ledger:
        ledger.confirm([(id, "h", "ct", "", b"", b"") for id in ("a", "b", "c")])
        assert [ledger.first_line("b", 1), ledger.first_line("d", 2), ledger.first_line("b", 3)] == [1, 2, 1]
        assert list(ledger.vanished()) == ["a", "c"]


def test_the_fingerprint_by_hand() -> None:
    rows = {"é": ("é", "h2", "ct", "", b"\x01", b"\x02"), "a": ("a", "h1", "mri", "p", b"", b"\xff")}
    with Ledger(None) as ledger:
        ledger.confirm([*rows.values()])
        ledger.keep_held_out([("x", "h3", "unit", b"1234")])
        assert ledger.held_out() == [("unit", b"1234")] and ledger.held_out_hash("x") == "h3"
        # Each field with its type, in hex: "a" is 61, "h1" 6831, "mri" 6D7269, "p" 70, "é" C3A9, "unit" 756E6974.
        content = (
            "encoder"
            "record text 61 text 6831 text 6D7269 text 70 blob  blob FF\n"
            "record text C3A9 text 6832 text 6374 text  blob 01 blob 02\n"
            "held_out text 78 text 6833 text 756E6974 blob 31323334\n"
        )
        assert ledger.fingerprint("encoder") == hashlib.sha256(content.encode()).hexdigest()
        before = ledger.fingerprint("encoder")
        for changed in (
            ("a", "h1", "ct", "p", b"", b"\xff"),
            ("a", "h1", "mri", "q", b"", b"\xff"),
            ("a", "h1", "mri", "p", b"1", b"\xff"),
            ("a", "h1", "mri", "p", b"", b"\xfe"),
        ):
            ledger.confirm([changed])
            assert ledger.fingerprint("encoder") != before
        ledger.confirm([rows["a"]])
        assert ledger.fingerprint("encoder") == before
        ledger.drop_held_out("x")
        assert ledger.held_out() == []
        assert ledger.fingerprint("encoder") != before


def test_a_ledger_that_is_read_must_be_there_and_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ledger is missing, and nothing else vouches for the index; delete it and"):
        Ledger(tmp_path / "ledger", read_only=True)
    assert not (tmp_path / "ledger").exists(), "reading makes none"
    with Ledger(tmp_path / "ledger") as ledger:
        ledger.fix({"a": "1"})
    before = (tmp_path / "ledger").read_bytes()
    with Ledger(tmp_path / "ledger", read_only=True) as ledger:
        assert ledger.settings() == {"a": "1"} and ledger.is_current()
        with pytest.raises(TitrateError, match="readonly"):
            ledger.fix({"a": "2"})
    assert (tmp_path / "ledger").read_bytes() == before


def test_a_ledger_that_would_do_something_by_itself_is_refused(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        ledger.fix({"a": "1"})
    with sqlite3.connect(tmp_path / "ledger") as other:
        other.execute("CREATE TRIGGER t AFTER INSERT ON record BEGIN DELETE FROM held_out; END")
    other.close()
    for read_only in (False, True):
        with pytest.raises(InputError, match="does more than hold rows; delete the index folder and build again"):
            Ledger(tmp_path / "ledger", read_only=read_only)


def test_what_is_no_ledger_and_what_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database" * 100)
    with pytest.raises(InputError, match=r"cannot use ledger .*; delete the index folder and build again"):
        Ledger(tmp_path / "text")
    with Ledger(tmp_path / "ledger") as ledger, sqlite3.connect(tmp_path / "ledger") as other:
        other.execute("DROP TABLE setting")
        other.commit()
        with pytest.raises(TitrateError, match=r"cannot write the index's ledger: .*; check free space"):
            ledger.fix({"a": "1"})


def test_what_is_no_ledger_is_refused_when_it_is_to_be_read(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database " * 100)
    (tmp_path / "empty").touch()
    for name, reason in (("text", "file is not a database"), ("none", "is missing, and nothing else vouches")):
        with pytest.raises(InputError, match=reason):
            Ledger(tmp_path / name, read_only=True)
    with Ledger(tmp_path / "empty", read_only=True) as empty:
        assert empty.settings() == {}, "a build was killed before it made any table"
        with pytest.raises(InputError, match="cannot be read"):
            empty.fingerprint("encoder")
    assert not (tmp_path / "none").exists()
