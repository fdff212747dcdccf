"""A stray quote costs its own row; which tables with tabs are quoted is told from the file."""

import csv
from pathlib import Path

import pytest

from indexing import Record, SkippedRecord
from indexing.corpora.open import open_corpus


def read(path: Path, text: str) -> tuple[dict[str, str], dict[int, str]]:
    """Reports by id, and reasons by line."""
    path.write_text(text)
    corpus = open_corpus(path)
    found = list(corpus)
    assert len(corpus) == len(found)
    kept = {each.id: each.report for each in found if isinstance(each, Record)}
    return kept, {each.line: each.reason for each in found if isinstance(each, SkippedRecord)}


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_rows_between_two_stray_quotes_are_not_swallowed(tmp_path: Path, delimiter: str) -> None:
    rows = ["id,image,report", '1,a.png,"Consolidation', "2,b.png,clear", '3,c.png,effusion"', "4,d.png,nodule"]
    kept, skipped = read(tmp_path / "corpus.csv", "\n".join(rows).replace(",", delimiter) + "\n")
    assert kept == {"2": "clear", "3": 'effusion"', "4": "nodule"}
    assert skipped == {2: "a quote that is never closed runs on into the rows below; double the quotes inside a "
                          "quoted cell"}  # fmt: skip


def test_wherever_the_report_stands_and_whatever_the_images_are_called(tmp_path: Path) -> None:
    rows = ["id,report,image", '1,"Consolidation,1.2.840.1', "2,clear,1.2.840.2", '3,effusion",1.2.840.33']
    kept, skipped = read(tmp_path / "corpus.csv", "\n".join(rows) + "\n")
    assert kept == {"2": "clear", "3": 'effusion"'} and list(skipped) == [2]
    rows = ["id,image,report", '1,a.PNG,"Consolidation', "2,b.jpg,clear", '3,c.dcm,effusion"']
    kept, skipped = read(tmp_path / "corpus.csv", "\n".join(rows) + "\n")
    assert kept == {"2": "clear", "3": 'effusion"'} and list(skipped) == [2]
    rows = ["report,image", '"Consolidation,a.png', "clear,b.png", 'effusion, mild",c.png', "nodule,d.png"]
    kept, skipped = read(tmp_path / "corpus.csv", "\n".join(rows) + "\n")
    assert kept == {"b.png": "clear", "d.png": "nodule"}
    assert list(skipped) == [2, 4] and "3 cells where the header has 2" in skipped[4]
    rows = ["report,image,note", '"Consolidation,a.png,', 'clear,b.png,"', "nodule,d.png,"]
    kept, skipped = read(tmp_path / "corpus.csv", "\n".join(rows) + "\n")  # too few cells: the rows below are not lost
    assert kept == {"d.png": "nodule"} and list(skipped) == [2, 3]


def test_reports_of_several_lines_with_commas_and_quotes_stay_whole(tmp_path: Path) -> None:
    report = 'FINDINGS: "ground glass", mild,\nlungs, heart, bones\n2, b, c\n\nIMPRESSION: one, two'
    for name, delimiter in (("corpus.csv", ","), ("corpus.tsv", "\t")):
        with (tmp_path / name).open("w", newline="") as file:
            writer = csv.writer(file, delimiter=delimiter)
            writer.writerows([["id", "image", "report"], ["1", "a.png", report], ["2", "b.png", '"quoted" at first']])
        kept, skipped = read(tmp_path / name, (tmp_path / name).read_text())
        assert kept == {"1": report, "2": '"quoted" at first'} and not skipped


def test_a_table_with_tabs_that_is_not_quoted(tmp_path: Path) -> None:
    rows = [
        ("id", "image", "report"),
        ("1", "a.png", '"Bullous" changes'),
        ("2", "b.png", '"Consolidation'),
        ("3", "c.png", "clear"),
        ("4", "d.png", 'effusion"'),
        ("5", "e.png", '3" nail'),
    ]
    kept, skipped = read(tmp_path / "corpus.tsv", "".join("\t".join(row) + "\n" for row in rows))
    assert kept == {row[0]: row[2] for row in rows[1:]} and not skipped
    # One of its rows has a tab too many: it alone is lost.
    rows.insert(3, ("6", "f.png", "a\ttab"))
    kept, skipped = read(tmp_path / "corpus.tsv", "".join("\t".join(row) + "\n" for row in rows))
    assert sorted(kept) == ["1", "2", "3", "4", "5"] and list(skipped) == [4]
