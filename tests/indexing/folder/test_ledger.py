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
        ledger.confirm([("r", "h1", "ct", "p1", b"1"), ("s", "h2", "ct", "", b"2")])
        assert (ledger.counts(), ledger.patients(), ledger.unconfirmed()) == ({"ct": 2}, {"p1"}, {})
        assert ledger.begin([("r", "mri")]) == {"ct": ["r"]}
        assert ledger.confirmed("r") is None
    with Ledger(tmp_path / "ledger") as ledger:  # as a kill in between leaves it
        assert ledger.unconfirmed() == {"ct": ["r"], "mri": ["r"]}
        assert ledger.begin([("r", "mri")]) == {"ct": ["r"]}
        ledger.confirm([("r", "h3", "mri", "p1", b"3")])
        assert (ledger.counts(), ledger.unconfirmed()) == ({"ct": 1, "mri": 1}, {})
        assert ledger.withdraw("s") and not ledger.withdraw("s")
        assert ledger.unconfirmed() == {"ct": ["s"]}
        ledger.clear_unconfirmed()
        assert (ledger.counts(), ledger.unconfirmed()) == ({"mri": 1}, {})


def test_lines_and_what_the_corpus_no_longer_names() -> None:
    with Ledger(None) as ledger:
        ledger.confirm([(id, "h", "ct", "", b"") for id in ("a", "b", "c")])
        assert [ledger.first_line("b", 1), ledger.first_line("d", 2), ledger.first_line("b", 3)] == [1, 2, 1]
        assert list(ledger.vanished()) == ["a", "c"]


def test_the_fingerprint_by_hand() -> None:
    with Ledger(None) as ledger:
        ledger.confirm([("é", "h2", "ct", "", b""), ("a", "h1", "mri", "p", b"")])
        ledger.keep_held_out([("x", "h3", "unit", b"1234")])
        assert ledger.held_out() == [("unit", b"1234")] and ledger.held_out_hash("x") == "h3"
        content = "encoder" + "record 1 a h1 mri\n" + "record 2 é h2 ct\n" + "held_out 1 x h3 unit\n"
        assert ledger.fingerprint("encoder") == hashlib.sha256(content.encode()).hexdigest()
        before = ledger.fingerprint("encoder")
        ledger.confirm([("a", "h1", "ct", "p", b"")])
        assert ledger.fingerprint("encoder") != before, "the same record in another domain"
        ledger.drop_held_out("x")
        assert ledger.held_out() == []


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
    for name in ("text", "empty", "none"):
        with pytest.raises(InputError, match="cannot use ledger"):
            Ledger(tmp_path / name, read_only=True)
    assert not (tmp_path / "none").exists()
