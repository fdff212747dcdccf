"""Tables with image, question and answer, as PathVQA is published: as CSV, and in Parquet with the pictures inside."""

import hashlib
import io
import stat
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from rag import Question, read_questions
from titrate import InputError, TitrateWarning


def png(grey: int) -> bytes:
    with io.BytesIO() as file:
        Image.new("L", (4, 4), grey).save(file, "png")
        return file.getvalue()


def parquet(path: Path, rows: list[dict[str, Any]], **types: pa.DataType) -> Path:
    columns = {name: pa.array([row[name] for row in rows], types.get(name)) for name in rows[0]}
    pq.write_table(pa.table(columns), path)
    return path


def read(path: Path, told: str, **options: Any) -> list[Question]:
    with pytest.warns(TitrateWarning, match=told):
        return read_questions(path, **options)


def test_pictures_in_rows(tmp_path: Path) -> None:
    """Two questions about one picture are about one file, and so of one unit; a second reading writes nothing anew."""
    rows = [
        {"image": {"bytes": png(1), "path": "a.png"}, "question": "Is it?", "answer": "yes"},
        {"image": {"bytes": png(1), "path": None}, "question": "What?", "answer": "in the colon"},
        {"image": {"bytes": png(2), "path": "/etc/passwd"}, "question": "Is it?", "answer": "no"},
        {"image": {"bytes": b"", "path": "x"}, "question": "Is it?", "answer": "no"},
    ]
    path = parquet(tmp_path / "test.parquet", rows)
    told = "is read as PathVQA's: 2 questions with options, 1 open; 1 are left out, .*line 4: the picture is empty"
    first, second, third = read(path, told)
    place = tmp_path / "test.parquet.pictures" / hashlib.sha256(png(1)).hexdigest()
    assert (first.id, first.text, first.answer, first.options) == ("1", "Is it?", "yes", ("yes", "no"))
    assert (second.answer, second.options) == ("in the colon", None)
    assert first.image == second.image == place and place.read_bytes() == png(1)
    assert first.unit == second.unit != third.unit
    assert third.image.read_bytes() == png(2)
    assert stat.S_IMODE(place.stat().st_mode) == 0o600 and stat.S_IMODE(place.parent.stat().st_mode) == 0o700
    written = place.stat().st_mtime_ns
    assert [question.image for question in read(path, told)] == [first.image, second.image, third.image]
    assert place.stat().st_mtime_ns == written
    place.write_bytes(png(3))  # of the same size, and not what its name says
    assert read(path, told)[0].image.read_bytes() == png(1)
    (elsewhere := tmp_path / "elsewhere").mkdir()
    assert read(path, told, root=elsewhere)[0].image.is_relative_to(elsewhere)


def test_our_own_form_in_parquet(tmp_path: Path) -> None:
    row = {
        "image": png(3),
        "question": "Which?",
        "answer": "b",
        "options": ["a", "b"],
        "id": 0,
        "patient": 5,
        "split": "test",
    }
    only, other = read_questions(parquet(tmp_path / "q.parquet", [row, {**row, "id": 1}]))
    assert (only.id, only.patient, only.split, only.options, only.answer) == ("0", "5", "test", ("a", "b"), "b")
    assert only.image == other.image
    with pytest.raises(InputError, match="line 2: the picture is empty"):  # nothing of our own form is left out
        read_questions(parquet(tmp_path / "q.parquet", [row, {**row, "id": 1, "image": b""}]))


def test_paths_in_parquet(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(1))
    row = {"image": "a.png", "question": "Is it?", "answer": "No", "source": "there"}
    (only,) = read(parquet(tmp_path / "q.parquet", [row]), "PathVQA")
    assert (only.image, only.source, only.answer) == (tmp_path / "a.png", "there", "no")
    assert not (tmp_path / "q.parquet.pictures").exists()
    choices = {"Choice A": "A: CT", "Choice B": "B: MRI", "Choice C": None, "Choice D": None}
    pmc = {"Figure_path": "a.png", "Question": "Which?", "Answer": "B", **choices}
    (found,) = read(parquet(tmp_path / "pmc.parquet", [pmc]), "PMC-VQA")
    assert (found.answer, found.options) == ("MRI", ("CT", "MRI"))
    named = {"image": {"bytes": None, "path": "https://example.org/a.png"}, "question": "?", "answer": "no"}
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    local = {**named, "image": {"bytes": None, "path": "a.png"}}
    mixed = parquet(tmp_path / "url.parquet", [named, local], image=kind)
    (kept,) = read(mixed, "1 are left out, the first because .*line 1: the picture is a URL, which is not fetched")
    assert kept.image == tmp_path / "a.png"


def test_a_table_of_text(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(1))
    path = tmp_path / "q.csv"
    path.write_text('id,image,question,answer,patient\nx,a.png,Is it?,Yes.,7\n,a.png,"What, then?",a nodule,7\n')
    first, second = read(path, "is read as PathVQA's: 1 questions with options, 1 open$")
    assert (first.id, first.answer, first.patient) == ("x", "yes", "7")
    assert (second.id, second.text, second.options) == ("3", "What, then?", None)


def test_what_is_no_table_of_questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "q.parquet"
    row = {"image": {"bytes": png(1), "path": ""}, "question": "Is it?", "answer": "no"}
    with pytest.raises(InputError, match="has no column answer, as PathVQA has"):
        read_questions(parquet(path, [{"image": "a.png", "question": "?"}]))
    with pytest.raises(InputError, match="has no column image; it has caption"):
        read_questions(parquet(path, [{"caption": "a"}]))
    with pytest.raises(InputError, match="column answer holds bool; convert it to text"):
        read_questions(parquet(path, [{**row, "answer": True}]))
    whole = parquet(path, [row]).read_bytes()
    path.write_bytes(whole[:-5])
    with pytest.raises(InputError, match="is no whole Parquet, or not UTF-8, after row 0"):
        read_questions(path)
    path.write_bytes(whole)
    (tmp_path / "q.parquet.pictures").touch()
    with pytest.raises(InputError, match=r"cannot write pictures to .*; name a folder that can be written with --root"):
        read_questions(path)
    (tmp_path / "q.parquet.pictures").unlink()
    (tmp_path / "q.parquet.pictures").symlink_to(tmp_path, target_is_directory=True)  # as a stranger's archive may hold
    with pytest.raises(InputError, match="a link, which is not followed"):
        read_questions(path)
    (tmp_path / "q.parquet.pictures").unlink()
    monkeypatch.setattr("rag.question_sets.parquet.MAX_BYTES", 10)
    with pytest.warns(TitrateWarning, match="the limit is"), pytest.raises(InputError, match="holds no questions"):
        read_questions(path)
