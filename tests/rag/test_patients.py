"""A patient is recognised however the id is written: nothing of theirs is read, and overlap is seen."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from indexing import Encoder, FieldFilter, Index, build_index, load_image
from rag import make_query
from rag.outcomes.splits import other_patient_hashes
from rag.retrieval.routing import retrieve
from tests.indexing.dicom_files import image_file
from titrate import InputError, check_no_overlap, hash_patient


def sample_images(samples: Path, folder: Path, number: int) -> list[str]:
    """Copy images of as many patients, all of one domain."""
    taken: list[str] = []
    with (samples / "corpus.jsonl").open() as lines:
        for record in map(json.loads, lines):
            if record["domain"] == "radiology" and len(taken) < number:
                taken.append(f"{len(taken)}{Path(record['image']).suffix}")
                shutil.copyfile(samples / record["image"], folder / taken[-1])
    return taken


def read_of(
    folder: Path, encoder: Encoder, image: str, patient: str | int | None = None, study: str | None = None
) -> set[str]:
    """Ids of all records that a question about an image may read."""
    with Index.open(folder) as index:
        query = make_query(folder.parent / image, "?", patient=patient, study=study)
        found = retrieve(index, encoder, [query], 8, out_of_domain="accept")
        return {match.record.id for match in found.matches[0]}


def questions(path: Path, image: str, **fields: object) -> Path:
    asked = {"id": "q", "image": image, "question": "?", "answer": "a", "options": None, "split": "calibrate"}
    path.write_text(json.dumps({**asked, **fields}) + "\n")
    return path


def overlap(folder: Path, path: Path, patient: str) -> dict[str, set[str]]:
    with Index.open(folder) as index:
        others = other_patient_hashes(path, "calibrate", index)
    check_no_overlap([patient], others)
    return others


def test_a_table_of_float_ids_names_the_same_patients(samples: Path, encoder: Encoder, tmp_path: Path) -> None:
    images = sample_images(samples, tmp_path, 5)
    rows = [[f"r{row}", image, f"Report {row}.", float(10000032 + row // 2)] for row, image in enumerate(images[:4])]
    with (tmp_path / "corpus.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "image", "report", "subject_id"], *rows])
    build_index(tmp_path / "corpus.csv", tmp_path / "index", encoder)
    assert read_of(tmp_path / "index", encoder, images[4]) == {"r0", "r1", "r2", "r3"}
    for patient in ("10000033", 10000033, "10000033.0", " 10000033 "):
        assert read_of(tmp_path / "index", encoder, images[4], patient=patient) == {"r0", "r1"}
    path = questions(tmp_path / "questions.jsonl", images[4], patient="10000033")
    with pytest.raises(InputError, match="1 are in the index"):
        overlap(tmp_path / "index", path, "10000033")
    assert "the index" in overlap(tmp_path / "index", path, "10000034")


def test_patients_and_studies_of_a_dicom_folder_are_recognised_by_their_own_ids(
    samples: Path, encoder: Encoder, tmp_path: Path
) -> None:
    images = sample_images(samples, tmp_path, 5)
    for row, image in enumerate(images[:4]):
        pixels = np.asarray(Image.open(tmp_path / image).convert("L"))
        folder = tmp_path / f"archive/p{row // 2}"
        folder.mkdir(parents=True, exist_ok=True)
        tags = {
            "PatientID": f"MRN{row // 2}",
            "IssuerOfPatientID": "Ward" * (row % 2),
            "StudyInstanceUID": f"1.2.{row}",
        }
        (folder / f"r{row}.dcm").write_bytes(image_file(pixels, **tags))
        (folder / f"r{row}.txt").write_text(f"Report {row}.")
    index, asked = tmp_path / "index", images[4]
    build_index(tmp_path / "archive", index, encoder)
    assert read_of(index, encoder, asked) == {"p0/r0", "p0/r1", "p1/r2", "p1/r3"}
    assert read_of(index, encoder, asked, patient="MRN1") == {"p0/r0", "p0/r1"}
    assert read_of(index, encoder, asked, study="1.2.1") == {"p0/r0", "p1/r2", "p1/r3"}
    with Index.open(index) as opened:
        vectors = encoder.embed_images([load_image(tmp_path / asked)])
        for wanted, expected in ((True, {"p0/r0", "p0/r1"}), (False, {"p1/r2", "p1/r3"})):
            found = opened.search("general", vectors, 9, filters=[FieldFilter("patient", ("MRN0",), wanted)])
            assert {match.record.id for match in found[0]} == expected
    path = questions(tmp_path / "questions.jsonl", asked, patient="MRN1", study="9.9")
    with pytest.raises(InputError, match="1 are in the index"):
        overlap(index, path, "MRN1")
    questions(path, asked, patient="MRN2")
    assert "the index" in overlap(index, path, "MRN2")
    kept = b"".join(file.read_bytes() for file in index.rglob("*") if file.is_file())
    assert b"MRN" not in kept


def test_without_ids_the_picture_tells_who_is_in_two_places(samples: Path, encoder: Encoder, tmp_path: Path) -> None:
    images = sample_images(samples, tmp_path, 6)
    shutil.copyfile(tmp_path / images[0], tmp_path / "same-bytes.bin")
    Image.open(tmp_path / images[0]).convert("RGB").save(tmp_path / "same-picture.png")
    bare = [{"id": f"r{row}", "image": image, "report": f"Report {row}."} for row, image in enumerate(images[:3])]
    for folder, given in (("bare", {}), ("named", {"patient": "p1"})):
        (tmp_path / "corpus.jsonl").write_text("".join(json.dumps({**row, **given}) + "\n" for row in bare))
        build_index(tmp_path / "corpus.jsonl", tmp_path / folder, encoder)

    def found(folder: str, *lines: tuple[str, str, str | None]) -> dict[str, bool]:
        """Whether each place shares the unit of the first question, which is of the calibration."""
        path = tmp_path / "questions.jsonl"
        fields = ({"image": image, "split": split, "patient": patient} for image, split, patient in lines)
        path.write_text("".join(json.dumps(line) + "\n" for line in fields))
        unit = lines[0][2] or str(tmp_path / lines[0][0])
        with Index.open(tmp_path / folder) as index:
            others = other_patient_hashes(path, "calibrate", index)
        return {name: hash_patient(unit) in hashes for name, hashes in others.items()}

    for image in (images[0], "same-bytes.bin", "same-picture.png"):
        assert found("bare", (image, "calibrate", None)) == {"the index": True}
        assert found("named", (image, "calibrate", None)) == {"the index": True}
        assert found("bare", (image, "calibrate", "p9")) == {"the index": True}
        assert found("named", (image, "calibrate", "p9")) == {"the index": False}  # both name a patient, so ids decide
    new = (images[4], "calibrate", None)
    assert found("bare", new, (images[5], "train", None)) == {"the index": False, "train": False}
    shutil.copyfile(tmp_path / images[4], tmp_path / "again.bin")
    for patient in (None, "p9"):
        assert found("bare", new, ("again.bin", "train", patient))["train"]
        assert found("bare", (images[4], "calibrate", "p8"), ("again.bin", "train", patient))["train"] == (not patient)
    assert "train" not in found("bare", new, ("missing.png", "train", None))  # nothing can be said of it
    assert found("bare", new, ("missing.png", "train", "p3"), ("again.bin", "train", None))["train"]


def test_a_study_is_compared_where_one_side_names_no_patient(samples: Path, encoder: Encoder, tmp_path: Path) -> None:
    images = sample_images(samples, tmp_path, 5)

    def found(folder: str, *lines: tuple[str, str | None, str | None]) -> dict[str, bool]:
        """Whether each place shares the unit of the first question, which is of the calibration."""
        path = tmp_path / "questions.jsonl"
        fields = [
            {"image": images[3 + (split != "calibrate")], "split": split, "patient": patient, "study": study}
            for split, patient, study in lines
        ]
        path.write_text("".join(json.dumps(line) + "\n" for line in fields))
        with Index.open(tmp_path / folder) as index:
            others = other_patient_hashes(path, "calibrate", index)
        unit = hash_patient(str(lines[0][1] or lines[0][2]))
        return {name: unit in hashes for name, hashes in others.items()}

    rows = [{"id": f"r{row}", "image": image, "report": f"Report {row}."} for row, image in enumerate(images[:3])]
    named: dict[str, dict[str, str]] = {"both": {"patient": "p1", "study": "1.2"}, "study": {"study": "1.2"}}
    for folder, given in named.items():
        (tmp_path / "corpus.jsonl").write_text("".join(json.dumps({**row, **given}) + "\n" for row in rows))
        build_index(tmp_path / "corpus.jsonl", tmp_path / folder, encoder)
    archive = tmp_path / "archive"
    archive.mkdir()
    for row, image in enumerate(images[:3]):
        pixels = np.asarray(Image.open(tmp_path / image).convert("L"))
        data = image_file(pixels, PatientID="p1", StudyInstanceUID="1.2")
        (archive / f"{row}.dcm").write_bytes(data)
        (archive / f"{row}.txt").write_text("Report.")
    build_index(archive, tmp_path / "dicom", encoder)
    for folder in ("both", "study", "dicom"):
        assert found(folder, ("calibrate", None, "1.2"))["the index"]
        assert not found(folder, ("calibrate", None, "1.3"))["the index"]
    assert found("study", ("calibrate", "p9", "1.2"))["the index"]
    assert not found("both", ("calibrate", "p9", "1.2"))["the index"]  # both name a patient, who has a study 1.2 too
    for ours, theirs, same in (
        ((None, "1.2"), ("p1", "1.2"), True),
        (("p1", "1.2"), (None, "1.2"), True),
        ((None, "1.2"), (None, "1.3"), False),
        (("p1", "1.2"), ("p2", "1.2"), False),
    ):
        assert found("both", ("calibrate", *ours), ("train", *theirs))["train"] == same
