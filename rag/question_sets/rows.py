"""Question files line by line: in our form, and as RULE, VQA-RAD, SLAKE, PathVQA and PMC-VQA publish theirs."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from indexing import TableFile
from rag.question_sets.parquet import PROBLEM, parquet_rows
from rag.yes_no import yes_or_no
from titrate import InputError, open_file, parse_json, read_jsonl, read_text

MAX_LIST = 1 << 28
"""Bytes of a file that is one list, which is read into memory whole; the largest published one has 4 MiB."""

_PLACEHOLDER = "<image>"
_CHOOSE = re.compile(r"\s*Please choose from the following two options: \[yes, no\]\s*$")
"""How RULE's field ``text`` goes on after the question."""
_MIMIC = re.compile(r"p\d\d/p(\d{8})/s(\d{8})/")
_IU_STUDY = re.compile(r"(CXR\d+_IM-[\d-]+)/")
_ARTICLE = re.compile(r"(PMC\d+)_")
_LETTERS = "ABCD"
_NAMED = ("patient", "study", "record", "domain", "split", "kind", "source")
"""What a row may say besides, in any layout, as in the form of this project."""
_PLAIN_COLUMNS = ("image", "question", "answer")
_PMC_COLUMNS = ("Figure_path", "Question", "Answer", *(f"Choice {letter}" for letter in _LETTERS))
_COLUMNS = (
    *_PLAIN_COLUMNS, "options", "id", "answer_type", *_NAMED,
    "Figure_path", "Question", "Answer", "Answer_label", *(f"Choice {letter}" for letter in _LETTERS),
)  # fmt: skip
_PICTURES = {"VQA-RAD": "VQA_RAD Image Folder", "SLAKE": "imgs", "PMC-VQA": "images"}
"""The folder of the images beside the published file."""


@dataclass(frozen=True)
class QuestionRow:
    """One question as it stands in a file.

    Attributes
    ----------
    line
        From 1: the line, or the number of the entry in a list.
    value
        The fields that `rag.questions.parse_question` reads, unchecked.
    source
        The name of the published set, whose layout the file has; None for the form of this project.
    problem
        Why nothing of the row could be read; None where it could.
    """

    line: int
    value: dict[str, Any]
    source: str | None = None
    problem: str | None = None


def question_rows(path: Path, folder: Path) -> Iterator[QuestionRow]:
    """The questions of a file.

    A published question has options where its answer is yes or no, in a language of `rag.yes_no`, or where it is a row
    with choices; else it is open, because nothing says what else could have been answered. Images of one MIMIC patient,
    MedPix case or PMC article are of one unit. A table with the columns ``image``, ``question`` and ``answer`` is read
    as PathVQA's, whatever else it has; in Parquet it may hold the pictures themselves, see `parquet_rows`, and with
    ``options`` and ``id`` it is in the form of this project.

    Parameters
    ----------
    path
        JSON lines, whatever its name; or the list, ``.csv``, ``.tsv`` or Parquet of one of those sets.
    folder
        That image paths are relative to; where it holds the set's own folder of images, that one.

    Raises
    ------
    InputError
        If the file cannot be read, or has none of these forms.
    """
    rows: Iterator[tuple[int, dict[str, Any] | str]]
    beginning = _beginning(path)
    table = ""
    listed = beginning.startswith("[") and path.suffix.lower() not in (".jsonl", ".ndjson")
    if listed:
        rows = _listed(path)
    elif path.suffix.lower() in (".csv", ".tsv") and not beginning.startswith("{"):
        table, rows = _table(path)
    elif beginning.startswith("PAR1"):
        table, rows = "Parquet", parquet_rows(path, folder, _COLUMNS)
    else:
        rows = ((line, value) for line, value in read_jsonl(path))
    for line, value in rows:
        if isinstance(value, str):
            yield QuestionRow(line, {}, table, value)
            continue
        row = _of_table(path, line, value) if table and "Figure_path" not in value else _converted(line, value)
        if row.source is None and listed:
            raise InputError(
                f"{path} is no list of questions as VQA-RAD or SLAKE have it; write one object a line, .jsonl"
            )
        beside = _PICTURES.get(row.source or "")
        if beside is not None and os.path.isdir(folder / beside):
            row.value["image"] = f"{beside}/{row.value['image']}"
        yield row


def _beginning(path: Path) -> str:
    """The first characters that are not blank; what cannot be read is left to those who read it all."""
    try:
        with open_file(path) as file:
            return file.read(1 << 12).decode("utf-8-sig", errors="replace").lstrip()
    except OSError:
        return ""


def _listed(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    try:
        if path.stat().st_size > MAX_LIST:
            raise InputError(f"{path} is a list of more than {MAX_LIST >> 20} MiB; write one object a line, .jsonl")
        entries = parse_json(read_text(path))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; check the path") from error
    except ValueError as error:
        raise InputError(f"{path} is damaged JSON, or not UTF-8 text; get a whole copy of it") from error
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InputError(f"{path} is no list of questions; write one object a line, .jsonl")
    yield from enumerate(entries, start=1)


def _table(path: Path) -> tuple[str, Iterator[tuple[int, dict[str, Any] | str]]]:
    """Whose layout a table of text has, and its rows; empty cells say nothing."""
    forms = (_PMC_COLUMNS, _PLAIN_COLUMNS)
    table = TableFile(
        path,
        lambda header: any(set(form).issubset(header) for form in forms),
        lambda name: name in ("Figure_path", "image", "id"),
    )
    form, name = (_PMC_COLUMNS, "PMC-VQA") if "Figure_path" in table.columns else (_PLAIN_COLUMNS, "PathVQA")
    missing = [column for column in form if column not in table.columns]
    if missing:
        raise InputError(f"{path} has no column {missing[0]}, as {name} has; write questions as JSON lines")
    if "options" in table.columns:
        raise InputError(
            f"{path} has a column options, which no cell can hold a list for; write questions as JSON lines"
        )
    rows = (
        (line, cells if isinstance(cells, str) else dict(zip(table.columns, cells, strict=True)))
        for line, cells in table.rows()
    )
    return name, rows


def _converted(line: int, value: dict[str, Any]) -> QuestionRow:
    if "question_id" in value and "id" not in value:
        return QuestionRow(line, _of_rule(value), "RULE")
    if "qid" in value and "image_name" in value:
        split = "test" if str(value.get("phrase_type")).startswith("test") else "train"
        fields = {"image": value["image_name"], "patient": value.get("image_case_url"), "split": split}
        fields = {**_named(value), **{name: said for name, said in fields.items() if said is not None}}
        return QuestionRow(line, {"id": str(value["qid"]), **fields, **_asked(value)}, "VQA-RAD")
    if "qid" in value and "img_name" in value:
        fields = {"id": str(value["qid"]), "image": value["img_name"], **_named(value)}
        return QuestionRow(line, {**fields, **_asked(value)}, "SLAKE")
    if "Figure_path" in value:
        return QuestionRow(line, _of_pmc(line, value), "PMC-VQA")
    return QuestionRow(line, value)


def _of_rule(value: Mapping[str, Any]) -> dict[str, Any]:
    """RULE's and MMed-RAG's; patients and studies stand in the paths of MIMIC-CXR and IU X-Ray."""
    image = str(value.get("image"))
    fields: dict[str, Any] = {"id": str(value["question_id"]), "image": value.get("image")}
    if (mimic := _MIMIC.search(image)) is not None:
        fields["patient"], fields["study"] = mimic.groups()
    elif (study := _IU_STUDY.search(image)) is not None:
        fields["study"] = study[1]
    return {**fields, **_named(value), **_asked(value)}


def _of_table(path: Path, line: int, value: dict[str, Any]) -> QuestionRow:
    """A row of a table with image, question and answer, numbered where it has no id."""
    missing = [name for name in _PLAIN_COLUMNS if name not in value]
    if missing:
        raise InputError(f"{path} has no column {missing[0]}, as PathVQA has; write questions as JSON lines")
    name = line if value.get("id") in (None, "") else value["id"]
    fields = {"id": str(name), "image": value["image"], **_named(value)}
    if "options" not in value:
        return QuestionRow(line, {**fields, **_asked(value)}, "PathVQA", value.get(PROBLEM))
    asked = {each: value[each] for each in ("question", "answer", "options")}
    return QuestionRow(line, {**fields, **asked}, problem=value.get(PROBLEM))


def _named(value: Mapping[str, Any]) -> dict[str, Any]:
    """What a row says about whose image it is and where it comes from."""
    return {name: value[name] for name in _NAMED if value.get(name) not in (None, "")}


def _asked(value: Mapping[str, Any]) -> dict[str, Any]:
    """Question, answer and options of a set that names no options."""
    question, answer = value.get("question", value.get("text")), value.get("answer")
    asked = _CHOOSE.sub("", question.replace(_PLACEHOLDER, "")).strip() if isinstance(question, str) else question
    said = answer.strip() if isinstance(answer, str) else str(answer) if isinstance(answer, int | float) else ""
    closed = yes_or_no(said) if str(value.get("answer_type")).strip().upper() != "OPEN" else None
    if closed is None:
        return {"question": asked, "answer": said, "options": None}
    both, yes = closed
    return {"question": asked, "answer": both[0 if yes else 1], "options": list(both)}


def _of_pmc(line: int, value: Mapping[str, str]) -> dict[str, Any]:
    """PMC-VQA's: choices may begin with their letter, and the answer is a letter in one of two columns, or a text."""
    choices: dict[str, str] = {}
    for letter in _LETTERS:
        text = re.sub(rf"^{letter}\s*[:.)]\s*", "", (value.get(f"Choice {letter}") or "").strip()).strip()
        if text:
            choices[letter] = text
    label = (value.get("Answer_label") or value.get("Answer") or "").strip()
    article = _ARTICLE.match(value["Figure_path"])
    return {
        "id": str(line),
        "image": value["Figure_path"],
        "question": value.get("Question"),
        "answer": choices.get(label, "" if label in _LETTERS else label),
        "options": list(choices.values()),
        "study": article and article[1],
        **_named(value),
    }
