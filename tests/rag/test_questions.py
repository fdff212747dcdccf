"""Question files are checked to the last line before any model runs."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from rag import Question, closed_questions, known_questions, questions_fingerprint, read_questions
from titrate import InputError

GOOD: dict[str, Any] = {
    "id": "q1",
    "image": "images/a.png",
    "question": " Is there an effusion? ",
    "answer": "yes",
    "options": ["yes", "no "],
    "patient": "p1",
    "study": "s1",
    "domain": "radiology",
    "split": "test",
    "record": "r1",
    "kind": "effusion",
    "source": "Ward A",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for name in ("images/a.png", "images/b.png", "images/c.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    return tmp_path


def write(folder: Path, *lines: dict[str, Any] | str) -> Path:
    path = folder / "questions.jsonl"
    texts = (line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines)
    path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return path


def changed(**fields: Any) -> dict[str, Any]:
    return {**GOOD, **fields}


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in GOOD.items() if name not in names}


def test_every_field_is_read(folder: Path) -> None:
    assert read_questions(write(folder, GOOD)) == [
        Question(
            id="q1",
            image=folder / "images/a.png",
            text="Is there an effusion?",
            answer="yes",
            options=("yes", "no"),
            patient="p1",
            study="s1",
            domain="radiology",
            split="test",
            record="r1",
            kind="effusion",
            source="Ward A",
        )
    ]


def test_only_four_fields_and_options_are_needed(folder: Path) -> None:
    bare = {"id": "1", "image": "images/a.png", "question": "?", "answer": "free text", "options": None}
    (question,) = read_questions(write(folder, bare, "", "   "))
    assert question.options is None
    assert question.unit == str(folder / "images/a.png")


@pytest.mark.parametrize(
    ("fields", "unit"),
    [({}, "p1"), ({"patient": None}, "s1"), ({"patient": None, "study": None, "image": "images/b.png"}, "b.png")],
)
def test_the_unit_is_the_patient_or_the_study_or_the_image(folder: Path, fields: dict[str, Any], unit: str) -> None:
    assert read_questions(write(folder, changed(**fields)))[0].unit.endswith(unit)


MALFORMED: dict[str, tuple[tuple[dict[str, Any] | str, ...], str]] = {
    "not JSON": (("{",), "line 1: not JSON"),
    "not an object": (("[1]",), "line 1: expected an object, found list"),
    "no id": ((without("id"),), 'line 1: "id" is missing or not text'),
    "id is a number": ((changed(id=7),), '"id" is missing or not text'),
    "id comes twice": ((GOOD, GOOD), "line 2: id q1 comes twice"),
    "no image": ((without("image"),), '"image" is missing'),
    "image is a list": ((changed(image=["images/a.png"]),), '"image" is missing or not text'),
    "image is missing": ((changed(image="images/none.png"),), "images/none.png does not exist"),
    "image outside the root": ((changed(image="../a.png"),), "outside"),
    "image by absolute path": ((changed(image="/etc/hostname"),), "must be a path inside"),
    "image by URL": ((changed(image="https://example.org/a.png"),), "URL|does not exist"),
    "no question": ((changed(question="  "),), '"question" is missing'),
    "no answer": ((without("answer"),), '"answer" is missing'),
    "answer is a truth value": ((changed(answer=True),), '"answer" is missing or not text'),
    "no options": ((without("options"),), '"options" is missing; list the answers'),
    "options are one text": ((changed(options="yes,no"),), '"options" must be a list of texts'),
    "an option is a number": ((changed(options=["yes", 0]),), '"options" must be a list of texts'),
    "an option is empty": ((changed(options=["yes", " "]),), '"options" must be a list of texts'),
    "one option": ((changed(options=["yes"]),), "at least two options, all different"),
    "options are empty": ((changed(options=[]),), "at least two options, all different"),
    "options repeat": ((changed(options=["yes", "no", "yes "]),), "at least two options, all different"),
    "answer is no option": ((changed(answer="perhaps"),), "the answer 'perhaps' is not among the options"),
    "patient is a list": ((changed(patient=["p1"]),), '"patient": an id must be text or a whole number, found list'),
    "study is no whole number": ((changed(study=1.5),), '"study": an id must be text or a whole number'),
    "patient is a truth value": ((changed(patient=True),), '"patient": an id must be text or a whole number'),
    "patient in two splits, once as a number": (
        (changed(patient="3.0"), changed(id="q2", patient=3, split="train")),
        "patient 3 is in splits test and train",
    ),
    "patient in two splits": ((GOOD, changed(id="q2", split="train")), "patient p1 is in splits test and train"),
    "empty file": ((), "holds no questions"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_files_are_refused_in_one_line(folder: Path, case: str) -> None:
    lines, message = MALFORMED[case]
    with pytest.raises(InputError, match=message) as caught:
        read_questions(write(folder, *lines))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shared", [{"study": "s"}, {"study": "t"}])
def test_a_patient_that_only_some_questions_of_a_study_or_an_image_name_is_refused(
    folder: Path, shared: dict[str, str]
) -> None:
    named, unnamed = changed(id="q1", patient="p", study="s"), {**without("patient"), "id": "q2", **shared}
    path = write(folder, unnamed, named)
    with pytest.raises(InputError, match="question q1 names the patient, q2 about the same study or image does not"):
        read_questions(path)
    assert len(read_questions(write(folder, {**unnamed, "patient": "p"}, named))) == 2


def test_missing_file_and_wrong_encoding(folder: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        read_questions(folder / "none.jsonl")
    (folder / "latin.jsonl").write_bytes('{"id": "é"}'.encode("latin-1"))
    with pytest.raises(InputError, match="not UTF-8"):
        read_questions(folder / "latin.jsonl")


def test_splits_are_chosen_and_the_rest_ignored(folder: Path) -> None:
    path = write(
        folder, GOOD, changed(id="q2", patient="p2", split="train"), changed(id="q3", patient="p3", split=None)
    )
    assert [question.id for question in read_questions(path, splits=["test"])] == ["q1"]
    assert [question.id for question in read_questions(path)] == ["q1", "q2", "q3"]
    with pytest.raises(InputError, match="no questions in split prefer"):
        read_questions(path, splits=["prefer"])
    assert len(read_questions(write(folder, changed(split=None)), splits=["prefer"])) == 1


def test_images_lie_under_the_root_given(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = write(tmp_path_factory.mktemp("elsewhere"), GOOD)
    assert read_questions(elsewhere, root=folder)[0].image == folder / "images/a.png"
    with pytest.raises(InputError, match="does not exist"):
        read_questions(elsewhere)


def test_open_questions_cannot_be_scored(folder: Path) -> None:
    path = write(folder, GOOD, changed(id="q2", options=None, answer="Free text."))
    assert [question.id for question in closed_questions(read_questions(path), path)] == ["q1"]
    path = write(folder, changed(options=None))
    with pytest.raises(InputError, match="none of its questions has options"):
        closed_questions(read_questions(path), path)


def test_baselines_learn_from_the_train_split_where_there_is_one(folder: Path) -> None:
    path = write(folder, GOOD, changed(id="q2", patient="p2", split="train"))
    judged = read_questions(path, splits=["test"])
    assert [question.id for question in known_questions(path, None, judged)] == ["q2"]
    path = write(folder, GOOD)
    assert known_questions(path, None, judged) == [], "never from what is judged"
    assert known_questions(write(folder, changed(split="train")), None, read_questions(path)) == []
    path = write(folder, changed(split=None))
    assert known_questions(path, None, read_questions(path)) == []


@pytest.mark.parametrize("answer", ["yes", "Yes", "Yes.", " YES . "])
def test_an_answer_is_an_option_whatever_its_case_and_full_stop(folder: Path, answer: str) -> None:
    assert read_questions(write(folder, changed(answer=answer)))[0].answer == "yes"


@pytest.mark.parametrize("options", [["yes", "Yes", "no"], ["no", "yes", "yes."], ["left  lung", "Left lung", "no"]])
def test_options_that_only_look_different_are_refused(folder: Path, options: list[str]) -> None:
    with pytest.raises(InputError, match=r"line 1: the options .* differ in case, spaces, width or a full stop only"):
        read_questions(write(folder, changed(options=options, answer=options[0])))


def test_options_may_hold_commas(folder: Path) -> None:
    planes = ["Axial", "Axial, coronal", "coronal, sagittal"]
    (question,) = read_questions(write(folder, changed(options=planes, answer="axial, coronal.")))
    assert question.options == tuple(planes) and question.answer == "Axial, coronal"


def test_the_fingerprint_is_of_contents_not_of_places(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = changed(id="q2", patient=None, study=None, image="images/c.png")
    path = write(folder, GOOD, nobody)
    first = questions_fingerprint(read_questions(path))
    assert questions_fingerprint(read_questions(path)[::-1]) == first
    monkeypatch.chdir(folder)
    assert questions_fingerprint(read_questions(Path("questions.jsonl"))) == first
    moved = write(tmp_path_factory.mktemp("moved"), GOOD, nobody)
    assert questions_fingerprint(read_questions(moved, root=folder)) == first
    different: list[dict[str, Any]] = [
        {"question": "Is it?"},
        {"answer": "no"},
        {"options": ["no", "yes"]},
        {"patient": "p9"},
        {"study": "s9"},
        {"id": "q9"},
        {"image": "images/b.png"},
    ]
    prints = {questions_fingerprint(read_questions(write(folder, changed(**item), nobody))) for item in different}
    assert len(prints | {first}) == len(different) + 1
