"""Question files as RULE, VQA-RAD, SLAKE, PathVQA and PMC-VQA publish them.

Fields, their order and the odd values are those of the published files; the questions are made up.
"""

import csv
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from rag import Question, read_questions
from titrate import InputError, TitrateWarning


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(path)


def read(path: Path, told: str, **options: Any) -> list[Question]:
    with pytest.warns(TitrateWarning, match=told):
        return read_questions(path, **options)


def closed(question: Question) -> tuple[str, str, tuple[str, ...] | None]:
    return question.text, question.answer, question.options


def test_rule_and_mmed_rag(tmp_path: Path) -> None:
    mimic = "p15/p15518538/s53078789/0c5f56c2-48ef3fda.jpg"
    rows: list[dict[str, Any]] = [
        {"question_id": 1, "question": "Clear lungs?\n<image>", "answer": "Yes.", "image": mimic, "report": "Clear."},
        {"question_id": 2, "question": "Effusion? \n<image>", "answer": "No (the lungs are clear).", "image": mimic},
        {"question_id": 3, "question": "Bones?\n<image>", "answer": "No information is given.", "image": mimic},
        {
            "question": "Large heart? \n<image>", "answer": "No", "image": "CXR3030_IM-1405/0.png", "question_id": 4,
            "text": "Large heart? Please choose from the following two options: [yes, no]\n<image>",
            "report": "Normal.",
        },
        {"question_id": 5, "question": "Glaucoma?\n<image>", "answer": "yes", "image": "slo_fundus_08003.jpg"},
        {
            "question_id": 7, "answer": "no", "image": "slo_fundus_08003.jpg",
            "text": "Cupping? Please choose from the following two options: [yes, no]\n<image>",
        },
        {"question_id": 5, "question": "Treated?\n<image>", "answer": "no", "image": "slo_fundus_08003.jpg"},
        {"question_id": 6, "question": "Seen?\n<image>", "image": "slo_fundus_08003.jpg"},
    ]  # fmt: skip
    for row in rows:
        picture(tmp_path / row["image"])
    path = tmp_path / "mimic_test.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    first, second, third, fourth, fifth, sixth = read(
        path,
        "is read as RULE's: 5 questions with options, 1 open; 2 are left out, the first because .*line 7: id 5 come",
    )
    assert (first.id, first.patient, first.study, first.unit) == ("1", "15518538", "53078789", "15518538")
    assert closed(first) == ("Clear lungs?", "yes", ("yes", "no"))
    assert closed(sixth) == ("Cupping?", "no", ("yes", "no"))
    assert closed(second) == ("Effusion?", "no", ("yes", "no"))
    assert closed(third) == ("Bones?", "No information is given.", None)
    assert (fourth.patient, fourth.study, fourth.answer) == (None, "CXR3030_IM-1405", "no")
    assert (fifth.study, fifth.unit) == (None, str(tmp_path / "slo_fundus_08003.jpg"))
    with pytest.raises(InputError, match=r"does not exist; check the path, or name its folder with --root"):
        read(path, "RULE", root=tmp_path / "p15")


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("q.jsonl", {"question_id": 1, "question": "?", "answer": "no", "image": "a.png"}),
        ("q.json", {"qid": 1, "question": "?", "answer": "no", "answer_type": "CLOSED", "img_name": "a.png"}),
    ],
)
def test_what_a_published_row_says_besides(tmp_path: Path, name: str, row: dict[str, Any]) -> None:
    """Split, patient and the rest are what they are in the form of this project, not ignored."""
    said = {"split": "test", "patient": 7, "study": "s", "domain": "d", "source": "here", "kind": "k", "record": "r"}
    picture(tmp_path / "a.png")
    rows = [{**row, **said}, {**row, "qid": 2, "question_id": 2, "split": "train", "patient": "8", "study": ""}]
    text = json.dumps(rows) if name == "q.json" else "".join(json.dumps(each) + "\n" for each in rows)
    (tmp_path / name).write_text(text)
    (only,) = read(tmp_path / name, "1 are left out|2 questions with options", splits=["test"])
    assert (only.split, only.patient, only.study, only.domain) == ("test", "7", "s", "d")
    assert (only.source, only.kind, only.record) == ("here", "k", "r")


def vqa_rad(number: int, image: str, case: str, phrase: str, kind: str, answer: Any) -> dict[str, Any]:
    return {
        "qid": number, "phrase_type": phrase, "qid_linked_id": "03f451ca", "image_case_url": case, "image_name": image,
        "image_organ": "CHEST", "evaluation": "not evaluated", "question": "Is it?", "question_rephrase": "NULL",
        "question_relation": "NULL", "question_frame": "NULL", "question_type": "PRES", "answer": answer,
        "answer_type": kind,
    }  # fmt: skip


def test_vqa_rad(tmp_path: Path) -> None:
    rows = [
        vqa_rad(1, "synpic1.jpg", "https://medpix/1", "freeform", "CLOSED", "Yes"),
        vqa_rad(2, "synpic2.jpg", "https://medpix/1", "para", "CLOSED ", "CT"),
        vqa_rad(3, "synpic3.jpg", "https://medpix/3", "test_freeform", "OPEN", 6),
        vqa_rad(4, "synpic3.jpg", "https://medpix/3", "test_para", "OPEN", "yes"),
    ]
    for row in rows:
        picture(tmp_path / "VQA_RAD Image Folder" / row["image_name"])
    path = tmp_path / "VQA_RAD Dataset Public.json"
    path.write_text(json.dumps(rows))
    first, second, third, fourth = read(path, "is read as VQA-RAD's: 1 questions with options, 3 open$")
    assert (first.id, first.split, first.answer, first.options) == ("1", "train", "yes", ("yes", "no"))
    assert first.unit == second.unit == "https://medpix/1"
    assert (second.answer, second.options) == ("CT", None)
    assert (third.split, third.answer, third.options) == ("test", "6", None)
    assert (fourth.answer, fourth.options) == ("yes", None)
    assert [question.id for question in read(path, "VQA-RAD", splits=["test"])] == ["3", "4"]
    with pytest.raises(
        InputError, match=r"no questions in split calibrate; check the file and --split \(it has test, train"
    ):
        read(path, "VQA-RAD", splits=["calibrate"])
    path.write_text(json.dumps([rows[0], {**rows[2], "image_case_url": "https://medpix/1"}]))
    with pytest.raises(InputError, match="is in splits train and test; split by patient"):
        read_questions(path)


def test_slake(tmp_path: Path) -> None:
    row = {
        "img_id": 1, "img_name": "xmlab1/source.jpg", "question": "Is the lung healthy?", "answer": "No",
        "q_lang": "en", "location": "Lung", "modality": "CT", "answer_type": "CLOSED", "base_type": "vqa",
        "content_type": "Organ",
        "triple": ["vhead", "_", "_"], "qid": 11,
    }  # fmt: skip
    chinese = {**row, "qid": 12, "question": "\u80ba\u5065\u5eb7\u5417?", "answer": "\u5426", "q_lang": "zh"}
    picture(tmp_path / "imgs/xmlab1/source.jpg")
    path = tmp_path / "train.json"
    organ = {**row, "qid": 13, "question": "图中有什么器官？", "answer": "肺", "q_lang": "zh", "answer_type": "OPEN"}
    path.write_text(json.dumps([row, chinese, organ], ensure_ascii=False), encoding="utf-8")
    first, second, third = read(path, "is read as SLAKE's: 2 questions with options, 1 open$")
    assert first.image == tmp_path / "imgs/xmlab1/source.jpg"
    assert closed(first) == ("Is the lung healthy?", "no", ("yes", "no"))
    assert closed(second) == (chinese["question"], "否", ("是", "否"))
    assert closed(third) == (organ["question"], "肺", None)


@pytest.mark.parametrize(
    ("said", "answer", "options"),
    [
        ("不是。", "否", ("是", "否")),  # offered as every other no, or the options would tell the answer
        ("是的", "是", ("是", "否")),
        ("没有", "没有", ("有", "没有")),
        ("有，双侧", "有", ("有", "没有")),
        ("いいえ。", "いいえ", ("はい", "いいえ")),
        ("نَعَم", "نعم", ("نعم", "لا")),
        ("ไม่ใช่", "ไม่ใช่", ("ใช่", "ไม่ใช่")),
        ("\uff39\uff25\uff33", "yes", ("yes", "no")),
        ("有积液", "有积液", None),
        ("sí", "sí", None),  # its no would be the English one, beside "yes"
    ],
)
def test_yes_and_no_of_other_languages(tmp_path: Path, said: str, answer: str, options: tuple[str, str] | None) -> None:
    row = {"img_name": "xmlab1/source.jpg", "question": "?", "answer": said, "answer_type": "CLOSED", "qid": 1}
    picture(tmp_path / "imgs/xmlab1/source.jpg")
    path = tmp_path / "train.json"
    path.write_text(json.dumps([row]), encoding="utf-8")
    (question,) = read(path, "is read as SLAKE's")
    assert (question.answer, question.options) == (answer, options)


HEADER = ["Figure_path", "Question", "Answer", "Choice A", "Choice B", "Choice C", "Choice D", "Answer_label"]
ROW = [
    "PMC1064097_F1.jpg",
    " What is shown?",
    " Neutral atom",
    " A:Molecule",
    " B: Neutral atom",
    " C:Ion",
    " D: X",
    "B",
]


def test_pmc_vqa_of_both_versions(tmp_path: Path) -> None:
    picture(tmp_path / "images/PMC1064097_F1.jpg")
    path = tmp_path / "test.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([HEADER, ROW, [*ROW[:7], "E"], ROW])
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], 'PMC1_F1.jpg,"Open', *lines[3:], 'PMC2_F1.jpg,shut"']) + "\n")
    first, second = read(
        path, r"PMC-VQA's: 2 questions with options, 0 open; 3 are left out.*line 3: the answer 'E' is no"
    )
    assert closed(first) == ("What is shown?", "Neutral atom", ("Molecule", "Neutral atom", "Ion", "X"))
    assert (first.id, first.study, first.image) == ("2", "PMC1064097", tmp_path / "images/PMC1064097_F1.jpg")
    assert second.id == "5"
    header = ["index", "Figure_path", "Caption", "Question", *HEADER[3:7], "Answer", "split"]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, ["62", ROW[0], "A caption.", ROW[1], *ROW[3:7], "C", "test"]])
    (only,) = read(path, "PMC-VQA", splits=["test"])
    assert (only.answer, only.split) == ("Ion", "test")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("q.json", "[{}]", "is no list of questions as VQA-RAD or SLAKE have it; write one object a line, .jsonl"),
        ("q.json", "[1]", "is no list of questions; write one object a line, .jsonl"),
        ("q.json", "[{}", "is damaged JSON, or not UTF-8 text; get a whole copy of it"),
        ("q.json", "{} {}", "line 1: not JSON"),
        ("q.csv", "Figure_path,Question\n", "has no column Answer, as PMC-VQA has; write questions as JSON lines"),
        ("q.csv", "image,question\n", "has no column answer, as PathVQA has; write questions as JSON lines"),
        ("q.csv", "image,question,answer,options\n", "has a column options, which no cell can hold a list for"),
        ("q.parquet", "PAR1", "is no whole Parquet, or not UTF-8, after row 0; get a whole copy"),
    ],
)
def test_what_has_none_of_these_forms(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError) as caught:
        read_questions(tmp_path / name)
    assert message in str(caught.value)


def test_nothing_is_told_of_files_in_our_form(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    row = {"id": "a", "question_id": 1, "image": "a.png", "question": "?", "answer": "x", "options": None}
    for name in ("q.jsonl", "q.json", "q.csv", "q"):  # the suffix does not matter
        (tmp_path / name).write_text(json.dumps(row))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert read_questions(tmp_path / name)[0].id == "a"
