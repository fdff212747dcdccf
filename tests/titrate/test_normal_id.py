"""One spelling of an id: worked by hand, and the same from every format and from the command line."""

import csv
import json
import random
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from indexing import Exclusion, FieldFilter, Record, SkippedRecord
from indexing.corpora.open import open_corpus
from indexing.images.pseudonyms import pseudonym
from rag import make_query, read_questions
from tests.indexing.dicom_files import file_bytes, image_dataset
from titrate import InputError, check_no_overlap, hash_patient, normal_id


@pytest.mark.parametrize(
    ("given", "spelling"),
    [
        (10000032, "10000032"),
        (10000032.0, "10000032"),
        (Decimal("10000032.00"), "10000032"),
        ("10000032.0", "10000032"),
        ("10000032.000000", "10000032"),
        ("10000032.", "10000032"),
        (" 10000032\t", "10000032"),
        (-3.0, "-3"),
        ("-0.0", "0"),
        (1e15, "1000000000000000"),
        ("007", "007"),
        ("007.0", "007.0"),
        ("1e7", "1e7"),
        ("1.0000032e+07", "10000032"),
        ("1.0000032E+007", "10000032"),
        ("5E+0", "5"),
        ("1.50", "1.50"),
        ("1.2.0", "1.2.0"),
        ("p1.0", "p1.0"),
        ("\u0661.0", "\u0661.0"),
        ("Mu\u0308ller", "M\u00fcller"),
        (None, None),
        (float("nan"), None),
        ("  ", None),
        ("<NA>", None),
    ],
)
def test_spellings_by_hand(given: Any, spelling: str | None) -> None:
    assert normal_id(given) == spelling
    assert spelling is None or normal_id(spelling) == spelling


@pytest.mark.parametrize("given", [1.5, float("inf"), 10**60, Decimal("1E+70"), True, ["p1"], b"p1"])
def test_what_is_no_id(given: Any) -> None:
    with pytest.raises(InputError, match="an id must be text or a whole number"):
        normal_id(given)


@pytest.mark.parametrize("given", ["1.00E+07", "1e+05", "1.23457E+11", "1.2e+1000000000000"])
def test_what_a_spreadsheet_has_rounded_is_no_id(tmp_path: Path, given: str) -> None:
    with pytest.raises(
        InputError, match=r"an id was rounded, as to 1.00E\+07 by spreadsheets; write ids as text, with"
    ):
        normal_id(given)
    path = write_corpus(tmp_path / "corpus.csv", [("a", given), ("b", "7")])
    skipped, kept = open_corpus(path)
    assert isinstance(skipped, SkippedRecord) and "an id was rounded" in skipped.reason
    assert isinstance(kept, Record) and kept.patient == "7"


def spellings(number: int, rng: random.Random) -> list[str]:
    """Texts that all mean this number."""
    digits = str(number)
    return [digits, f"{digits}.0", f"{digits}.{'0' * rng.randint(1, 6)}", f"  {digits} ", f"{digits}.0 "]


def write_archive(folder: Path, ids: list[str]) -> Path:
    """A folder of DICOM files of one patient each, with their studies."""
    folder.mkdir()
    for row, text in enumerate(ids):
        image = image_dataset(np.zeros((2, 2), np.uint8))
        image.PatientID = text
        image.StudyInstanceUID = str(normal_id(text))
        (folder / f"{row}.dcm").write_bytes(file_bytes(image))
        (folder / f"{row}.txt").write_text("r")
    return folder


def write_corpus(path: Path, rows: list[tuple[str, Any]]) -> Path:
    """A corpus of one patient a row, each with the study of the same number."""
    full = [{"id": name, "image": "a.png", "report": "r", "patient": who, "study": who} for name, who in rows]
    if path.suffix == ".json":
        path.write_text(json.dumps(full))
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in full))
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(full), path)
    else:
        text = StringIO()
        table = csv.DictWriter(text, list(full[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
        table.writeheader()
        table.writerows(full)
        path.write_text(text.getvalue())
    return path


def patients(path: Path) -> set[str | None]:
    found: set[str | None] = set()
    for record in open_corpus(path):
        assert isinstance(record, Record), record
        assert record.study == record.patient
        found.add(record.patient)
    return found


@pytest.mark.parametrize("seed", range(20))
def test_one_id_is_one_identity_in_every_format(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    number = rng.randrange(10 ** rng.randint(1, 15))
    one = {str(number)}
    texts = [(f"t{row}", text) for row, text in enumerate(spellings(number, rng))]
    for suffix in ("csv", "tsv", "json", "jsonl", "parquet"):
        assert patients(write_corpus(tmp_path / f"texts.{suffix}", texts)) == one
    for suffix in ("json", "jsonl", "parquet"):
        for name, given in (("whole", number), ("float", float(number))):
            assert patients(write_corpus(tmp_path / f"{name}.{suffix}", [("a", given)])) == one
    with_gap = [("a", float(number)), ("b", float("nan"))]  # a column of whole numbers with a gap, as pandas has it
    for suffix in ("csv", "tsv", "parquet"):
        assert patients(write_corpus(tmp_path / f"gap.{suffix}", with_gap)) == {str(number), None}

    key = b"sixteen bytes or more"
    archive = open_corpus(write_archive(tmp_path / "archive", [text for _, text in texts]), key=key)
    known = {(record.patient, record.study) for record in archive if isinstance(record, Record)}
    assert known == {(pseudonym(str(number), "patient", key), pseudonym(str(number), "study", key))}

    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    everyone: list[Any] = [text for _, text in texts] + [number, float(number)]
    asked = {"image": "a.png", "question": "?", "answer": "a", "options": None}
    lines = [{"id": f"q{row}", "patient": who, "study": who, **asked} for row, who in enumerate(everyone)]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for question in read_questions(tmp_path / "questions.jsonl"):
        assert {question.patient, question.study, question.unit} == one
    for who in everyone:
        query = make_query("a.png", "?", patient=who, study=who)
        assert {query.patient, query.study} == one
        assert {Record("a", "a.png", "r", patient=str(who), study=str(who)).patient} == one
        assert {Exclusion("x", str(who), str(who)).patient} == one == {*FieldFilter("patient", (str(who),)).values}
        assert hash_patient(str(who)) == hash_patient(str(number))
        with pytest.raises(InputError, match="of 1 calibration patients, 1 are in the index"):
            check_no_overlap([str(who)], {"the index": {hash_patient(str(number))}})


@pytest.mark.parametrize("other", ["007", "1e7", "7.5", "7.0.0", "p7.0", "7,0"])
def test_ids_that_differ_stay_apart(tmp_path: Path, other: str) -> None:
    for suffix in ("csv", "tsv", "json", "jsonl", "parquet"):
        path = write_corpus(tmp_path / f"corpus.{suffix}", [("a", "7"), ("b", other)])
        assert patients(path) == {"7", other}
