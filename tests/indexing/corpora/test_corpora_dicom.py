"""A folder of DICOM files as a corpus."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
from pydicom import uid

from indexing import Record, SkippedRecord
from indexing.corpora.open import open_corpus
from indexing.images.pseudonyms import pseudonyms
from tests.indexing.dicom_files import image_file
from titrate import InputError

KEY = b"sixteen bytes or more"
NAME, NUMBER, STUDY = "SENTINEL^JANE", "MRN-SENTINEL-1", "1.2.826.0.1.3680043.2"
REMEDY = "or index a .csv with columns image and report, whose images are these files"


def dicom(path: Path, number: str = NUMBER) -> Path:
    """Write a DICOM file of four black pixels, with a patient."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((2, 2), np.uint8)
    tags = {"PatientName": NAME, "PatientID": number, "StudyInstanceUID": STUDY, "PatientComments": "SENTINEL comment"}
    path.write_bytes(image_file(pixels, **tags))
    return path


def test_reports_beside_the_files(tmp_path: Path) -> None:
    for name in ("b/IM2.dcm", "a.DCM", "b/IM10.dcm", "b/c/1.2.840.5", "z.dicom"):
        dicom(tmp_path / name)
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfClear lungs.\n")
    (tmp_path / "b/IM10.dcm.txt").write_text("Effusion.")
    (tmp_path / "b/report.txt").write_text("Cardiomegaly.")
    (tmp_path / "b/c/1.2.840.5.txt").write_text("Nodule.")
    (tmp_path / "z.txt").write_text("Normal.")
    dicom(tmp_path / "DICOMDIR")
    (tmp_path / "b/scan.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "b/notes.csv").write_text("image,report\n")
    patient, study = pseudonyms((tmp_path / "a.DCM").read_bytes(), KEY)
    corpus = open_corpus(tmp_path, key=KEY)
    assert corpus.root == tmp_path
    assert len(corpus) == 5
    records = list(corpus)
    assert records == [
        Record("a", "a.DCM", "Clear lungs.", patient=patient, study=study),
        Record("z", "z.dicom", "Normal.", patient=patient, study=study),
        Record("b/IM10", "b/IM10.dcm", "Effusion.", patient=patient, study=study),
        Record("b/IM2", "b/IM2.dcm", "Cardiomegaly.", patient=patient, study=study),
        Record("b/c/1.2.840.5", "b/c/1.2.840.5", "Nodule.", patient=patient, study=study),
    ]
    assert [record.line for record in records] == [1, 2, 3, 4, 5]
    assert list(corpus) == records


def test_nothing_of_the_header_comes_out(tmp_path: Path) -> None:
    for number in range(3):
        dicom(tmp_path / f"{number}.dcm", number=f"MRN-SENTINEL-{number % 2}")
        (tmp_path / f"{number}.txt").write_text("Clear.")
    dicom(tmp_path / "3.dcm")  # without a report
    damaged = dicom(tmp_path / "4.dcm")
    damaged.write_bytes(damaged.read_bytes()[:300])
    (tmp_path / "4.txt").write_text("Clear.")
    records = list(open_corpus(tmp_path, key=KEY))
    assert "SENTINEL" not in repr(records) and STUDY not in repr(records)
    first, second, third = records[:3]
    assert isinstance(first, Record) and isinstance(second, Record) and isinstance(third, Record)
    assert first.patient == third.patient != second.patient
    assert first.study == second.study


def test_without_a_key_pseudonyms_hold_for_one_opening(tmp_path: Path) -> None:
    dicom(tmp_path / "a.dcm")
    (tmp_path / "a.txt").write_text("Clear.")
    corpus, other = open_corpus(tmp_path), open_corpus(tmp_path)
    assert list(corpus) == list(corpus) != list(other)


@pytest.mark.parametrize(
    ("sidecar", "content", "reason"),
    [
        (None, b"", f"no report; write it to sub/a.txt, or to report.txt for the whole folder, {REMEDY}"),
        ("b.txt", b"of another file", "no report; write it to sub/a.txt"),
        ("a.txt", b" \n", "its report sub/a.txt is empty"),
        ("a.dcm.txt", b"Gro\xdf", '"sub/a.dcm.txt" holds a broken character (not UTF-8'),
        ("a.txt", "Groß".encode("utf-16"), '"sub/a.txt" holds a broken character (not UTF-8'),
        ("a.txt", b"Cle\0ar", '"sub/a.txt" holds a NUL character'),
        ("report.txt", b"\xc3\xa4" * 300_000, '"sub/report.txt" has more than 100,000 characters'),
    ],
)
def test_a_file_without_a_usable_report_is_skipped(
    tmp_path: Path, sidecar: str | None, content: bytes, reason: str
) -> None:
    dicom(tmp_path / "sub/a.dcm")
    if sidecar is not None:
        (tmp_path / "sub" / sidecar).write_bytes(content)
    corpus = open_corpus(tmp_path, key=KEY)
    [record] = corpus
    assert isinstance(record, SkippedRecord)
    assert (record.line, record.id) == (1, "sub/a.dcm")
    assert record.reason.startswith(reason)
    assert len(corpus) == 1


def test_files_that_only_claim_to_be_dicom_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "report.txt").write_text("Clear.")
    (tmp_path / "a.dcm").write_bytes(b"not DICOM")
    (tmp_path / "b.dcm").write_bytes(b"")
    (tmp_path / "c.dcm").mkdir()
    os.mkfifo(tmp_path / "d.dcm")
    (tmp_path / "e.dcm").symlink_to("e.dcm")
    (tmp_path / os.fsdecode(b"f\xff.dcm")).write_bytes(dicom(tmp_path / "g.dcm").read_bytes())
    records = list(open_corpus(tmp_path, key=KEY))
    assert [record.id for record in records] == ["a.dcm", "b.dcm", "d.dcm", "e.dcm", "f\\xff.dcm", "g"]
    reasons = [record.reason for record in records if isinstance(record, SkippedRecord)]
    assert reasons == [
        "named like DICOM, but is not; replace or rename it",
        "named like DICOM, but is not; replace or rename it",
        "not a file, or a link that leads nowhere",
        "not a file, or a link that leads nowhere",
        '"image" holds a broken character (not UTF-8, or a lone surrogate)',
    ]


def test_links_stay_inside(tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    dicom(outside / "secret.dcm")
    (outside / "secret.txt").write_text("Secret.")
    dicom(inside / "a/own.dcm")
    (inside / "a/own.txt").write_text("Own.")
    dicom(inside / "b.dcm")
    (inside / "b.txt").symlink_to(outside / "secret.txt")
    (inside / "c.dcm").symlink_to(outside / "secret.dcm")
    (inside / "c").symlink_to(outside / "secret.dcm")
    (inside / "d.dcm").symlink_to(inside / "a/own.dcm")
    (inside / "d.txt").write_text("Linked.")
    (inside / "e").symlink_to(outside)
    (inside / "f").symlink_to(inside / "a")
    (inside / "a/round").symlink_to(inside)
    corpus = open_corpus(inside, key=KEY)
    found = [record.reason if isinstance(record, SkippedRecord) else record.report for record in corpus]
    link = "a link to a file outside the folder; copy the file here"
    assert found == [
        f"its report b.txt is {link}",
        link,
        "Linked.",
        "a link to a folder outside; index that folder itself",
        "Own.",
    ]
    assert len(corpus) == 5


def test_a_folder_without_dicom_and_what_does_not_go_with_folders(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(InputError, match=re.escape("index a .jsonl, .csv or .parquet file that names them")):
        open_corpus(tmp_path)
    dicom(tmp_path / "a.dcm")
    with pytest.raises(InputError, match="the key for pseudonyms has 5 bytes; it needs at least 16"):
        open_corpus(tmp_path, key=b"short")
    with pytest.raises(InputError, match="it has no columns and is its own root"):
        open_corpus(tmp_path, fields={"report": "findings"})
    with pytest.raises(InputError, match="it has no columns and is its own root"):
        open_corpus(tmp_path, root=tmp_path)


def test_mimic_cxr_has_a_report_beside_the_folder_of_its_study(tmp_path: Path) -> None:
    for name in ("s51/view-1.dcm", "s51/view-2.dcm", "s52/view-1.dcm", "s53/view-1.dcm", "s54/deeper/view-1.dcm"):
        dicom(tmp_path / "files/p10/p10000032" / name)
    patient = tmp_path / "files/p10/p10000032"
    for study in ("s51", "s52", "s54"):
        (patient / f"{study}.txt").write_text(f"Report of {study}.")
    (patient / "s52/view-1.txt").write_text("Report of the view.")  # nearer, so it is taken
    apart = tmp_path / "mimic-cxr-reports/files/p10/p10000032"  # where unpacking may have put them
    apart.mkdir(parents=True)
    (patient / "s51.txt").rename(apart / "s51.txt")
    found = list(open_corpus(tmp_path, key=KEY))
    assert [record.report if isinstance(record, Record) else record.reason[:9] for record in found] == [
        "Report of s51.", "Report of s51.", "Report of the view.", "no report", "no report"
    ]  # fmt: skip


def test_what_is_no_picture_is_skipped_and_says_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "report.txt").write_text("Nodule.")
    pixels = np.arange(4, dtype=np.uint8).reshape(2, 2)
    classes = {
        "a-ct": uid.CTImageStorage,
        "b-seg": uid.SegmentationStorage,
        "c-dose": uid.RTDoseStorage,
        "d-state": uid.GrayscaleSoftcopyPresentationStateStorage,
        "e-map": uid.ParametricMapStorage,
        "f-portal": uid.RTImageStorage,
        "g-mammogram": uid.DigitalMammographyXRayImageStorageForPresentation,
        "h-unknown": uid.UID("1.2.3.4"),
    }
    for name, kind in classes.items():
        (tmp_path / f"{name}.dcm").write_bytes(image_file(pixels, SOPClassUID=kind))
    found = {record.id: record for record in open_corpus(tmp_path, key=KEY)}
    assert [name for name, record in found.items() if isinstance(record, Record)] == [
        "a-ct", "f-portal", "g-mammogram", "h-unknown"
    ]  # fmt: skip
    dose = found["c-dose.dcm"]
    assert isinstance(dose, SkippedRecord) and dose.reason == "is no picture but a grid of radiation doses; left out"
    assert {name for name, record in found.items() if isinstance(record, SkippedRecord) and record.no_picture} == {
        "b-seg.dcm", "c-dose.dcm", "d-state.dcm", "e-map.dcm"
    }  # fmt: skip
    assert len(found) == len(classes)
