"""The code of docs/corpora-of-others.md, on made-up files with the fields of RULE's and MMed-RAG's."""

import json
import runpy
import warnings
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from indexing import Record
from indexing.corpora.open import open_corpus
from rag import read_questions
from titrate import TitrateWarning

MIMIC = "p10/p10000032/s50414267/02aa804e-bde0afdd.jpg"
THEIRS = "/home/somebody/datasets"
IU_ROWS = [
    {"id": f"CXR{n}_IM-00{n}", "report": "Clear.", "image_path": [f"CXR{n}_IM-00{n}/{view}.png" for view in (0, 1)],
     "split": "train"}
    for n in (1, 2)
]  # fmt: skip
MIMIC_ROWS = [
    {"id": "02aa804e-bde0afdd", "study_id": 50414267, "subject_id": 10000032, "report": "Effusion.",
     "image_path": [MIMIC], "split": "train"}
]  # fmt: skip
HARVARD_ROWS = [
    {"id": "data_00001", "image_path": "slo_fundus_00001.jpg", "filename": "data_00001.npz", "report": "Cupping.",
     "age": 60.5, "note": "a long note", "gpt4_summary": "Cupping.", "glaucoma": "yes", "use": "training"}
]  # fmt: skip
PATHOLOGY_ROWS = [
    {"id": 0, "image": "14.jpg", "report": " A stain", "metadata": {}, "image_root": f"{THEIRS}/pmc_oa/train_images"},
    {"caption": "Asked about.", "image_path": "abcdefg_-1k_image_5.jpg", "subset": "quilt", "split": "train",
     "id": "train_1", "image_root": f"{THEIRS}/quilt_1m/quilt_1m_images"},
    {"caption": "A whorl.", "image_path": "bcdefg_-1kl_image_5.jpg", "subset": "quilt", "split": "train",
     "id": "train_0", "image_root": f"{THEIRS}/quilt_1m/quilt_1m_images"},
]  # fmt: skip
RETRIEVER, TEST = "data/training/retriever", "data/test"
ARCHIVES = {
    f"RULE/{RETRIEVER}/iuxray_train.json": IU_ROWS,
    f"RULE/{RETRIEVER}/mimic_train.json": MIMIC_ROWS,
    f"RULE/{RETRIEVER}/harvard_train.json": HARVARD_ROWS,
    f"MMed-RAG/{RETRIEVER}/pathology/pathology_train.json": PATHOLOGY_ROWS,
}
PICTURES = {
    "iu_xray": [f"CXR{n}_IM-00{n}/{view}.png" for n in (1, 2, 3) for view in (0, 1)],
    "mimic": [MIMIC, "p11/p11000001/s51/a.jpg"],
    "harvard": ["slo_fundus_00001.jpg", "slo_fundus_08003.jpg"],
    "pmc_oa": ["14.jpg", "PMC12_F1_7.jpg", "PMC12_F2_8.jpg"],
    "quilt": ["abcdefg_-1k_image_5.jpg", "bcdefg_-1kl_image_5.jpg", "abcdefg_-1k_image_6.jpg"],
}


def asked(*rows: tuple[str, str, str]) -> str:
    """Lines of a test file, from image, question and answer."""
    written = [
        {"question_id": number, "question": f"{question}\n<image>", "answer": answer, "image": image, "report": "R."}
        for number, (image, question, answer) in enumerate(rows, start=1)
    ]
    return "".join(json.dumps(row) + "\n" for row in written)


QUESTIONS = {
    f"RULE/{TEST}/iuxray_test.jsonl": asked(("CXR3_IM-003/0.png", "Clear? ", "No (there is an opacity).")),
    f"RULE/{TEST}/mimic_test.jsonl": asked(("p11/p11000001/s51/a.jpg", "Effusion?", "Yes.")),
    f"RULE/{TEST}/harvard_test.jsonl": asked(("slo_fundus_08003.jpg", "Treated?", "The summary does not say.")),
    f"MMed-RAG/{TEST}/vqa/pathology/pmc-oa_test.jsonl": asked(
        ("PMC12_F1_7.jpg", "Stained?", "Yes"), ("PMC12_F2_8.jpg", "Stained?", "No")
    ),
    f"MMed-RAG/{TEST}/vqa/pathology/quilt-1m_test.jsonl": asked(("abcdefg_-1k_image_6.jpg", "A whorl?", "Yes")),
}


@pytest.fixture
def converted(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder in which the page's code has run."""
    for name, rows in ARCHIVES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(json.dumps(rows, indent=4))
    for name, lines in QUESTIONS.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(lines)
    for folder, images in PICTURES.items():
        for image in images:
            (tmp_path / "images" / folder / image).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (4, 4)).save(tmp_path / "images" / folder / image)
    page = (repository / "docs/corpora-of-others.md").read_text(encoding="utf-8")
    (code,) = (block.split("```")[0] for block in page.split("```python\n")[1:])
    script = tmp_path / "convert.py"  # as the page's reader would keep it
    script.write_text(code, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TitrateWarning)  # how each file was read
        runpy.run_path(str(script))
    return tmp_path


def test_the_archive(converted: Path) -> None:
    found: list[Any] = list(open_corpus(converted / "corpus.jsonl", root=converted / "images"))
    assert all(isinstance(record, Record) for record in found), found
    assert {record.split for record in found} == {"train"}
    told = [(r.id, r.image, r.report, r.domain, r.patient) for r in found]
    assert told[:3] == [
        ("iu_xray/CXR1_IM-001", "iu_xray/CXR1_IM-001/0.png", "Clear.", "radiology", "iu_xray/CXR1"),
        ("iu_xray/CXR1_IM-001#2", "iu_xray/CXR1_IM-001/1.png", "Clear.", "radiology", "iu_xray/CXR1"),
        ("iu_xray/CXR2_IM-002", "iu_xray/CXR2_IM-002/0.png", "Clear.", "radiology", "iu_xray/CXR2"),
    ]
    assert told[4:] == [
        ("mimic/02aa804e-bde0afdd", f"mimic/{MIMIC}", "Effusion.", "radiology", "mimic/10000032"),
        ("harvard/data_00001", "harvard/slo_fundus_00001.jpg", "Cupping.", "ophthalmology",
         "harvard/slo_fundus_00001.jpg"),
        ("pmc_oa/0", "pmc_oa/14.jpg", "A stain", "pathology", "pmc_oa/14.jpg"),
        ("quilt/train_0", "quilt/bcdefg_-1kl_image_5.jpg", "A whorl.", "pathology", "quilt/bcdefg_-1kl"),
    ]  # fmt: skip


def test_the_questions(converted: Path) -> None:
    found = read_questions(converted / "questions.jsonl", root=converted / "images")
    both = ("yes", "no")
    assert [(q.id, q.text, q.answer, q.options, q.patient) for q in found] == [
        ("iu_xray/1", "Clear?", "no", both, "iu_xray/CXR3"),
        ("mimic/1", "Effusion?", "yes", both, "mimic/11000001"),
        ("harvard/1", "Treated?", "The summary does not say.", None, "harvard/slo_fundus_08003.jpg"),
        ("pmc_oa/1", "Stained?", "yes", both, "pmc_oa/PMC12"),
        ("pmc_oa/2", "Stained?", "no", both, "pmc_oa/PMC12"),
        ("quilt/1", "A whorl?", "yes", both, "quilt/abcdefg_-1k"),
    ]
    assert {q.split for q in found} <= {"prefer", "calibrate", "test"}
    assert found[3].split == found[4].split, "questions of one article are of one split"
