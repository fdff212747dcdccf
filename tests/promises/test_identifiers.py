"""No identifier leaves a DICOM header: a sentinel in every kind of tag, and none in anything that indexing makes."""

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from indexing import Encoder, Index, build_index, load_image
from indexing.images.pseudonyms import pseudonyms
from tests.indexing.dicom_files import file_bytes, image_dataset
from titrate import InputError


class Sentinels:
    """Texts that occur nowhere else, so that finding one anywhere is a leak."""

    def __init__(self) -> None:
        self.planted: list[str] = []

    def text(self) -> str:
        self.planted.append(f"ZQX{len(self.planted):04d}KJV")
        return self.planted[-1]

    def number(self) -> str:
        self.planted.append(f"7391{len(self.planted):04d}5268")
        return self.planted[-1]

    def uid(self) -> str:
        return f"1.2.826.{self.number()}"

    def date(self) -> str:
        self.planted.append(f"{8000 + len(self.planted)}1231")
        return self.planted[-1]

    def found_in(self, data: bytes) -> set[str]:
        """The planted ones that occur here, in any case, as ASCII or UTF-16: without zero bytes these are the same."""
        candidates = re.findall(rb"zqx\d{4}kjv|7391\d{8}|8\d{3}1231", data.replace(b"\0", b"").lower())
        return {candidate.decode().upper() for candidate in candidates} & set(self.planted)


TEXTS = (
    "PatientName", "PatientID", "IssuerOfPatientID", "OtherPatientNames", "PatientBirthName", "PatientMotherBirthName",
    "PatientAddress", "PatientComments", "PatientTelephoneNumbers", "MedicalRecordLocator", "EthnicGroup", "Occupation",
    "AdditionalPatientHistory", "InstitutionName", "InstitutionAddress", "InstitutionalDepartmentName", "StationName",
    "ReferringPhysicianName", "PerformingPhysicianName", "OperatorsName", "NameOfPhysiciansReadingStudy",
    "RequestingPhysician", "AccessionNumber", "StudyID", "StudyDescription", "SeriesDescription", "ImageComments",
    "ProtocolName", "DeviceSerialNumber", "DerivationDescription", "WindowCenterWidthExplanation", "RescaleType",
    "RequestedProcedureDescription", "LossyImageCompressionMethod",
)  # fmt: skip
DATES = ("PatientBirthDate", "StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate", "InstanceCreationDate")
UIDS = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "InstanceCreatorUID")


def plant(dataset: Dataset, sentinels: Sentinels) -> None:
    """Put a sentinel of its own into every kind of tag: names, ids, dates, UIDs, private, nested, overlay."""
    for keyword in TEXTS:
        setattr(dataset, keyword, sentinels.text())
    for keyword in DATES:
        setattr(dataset, keyword, sentinels.date())
    for keyword in UIDS:
        setattr(dataset, keyword, sentinels.uid())
    private = dataset.private_block(0x0011, sentinels.text(), create=True)
    private.add_new(0x01, "LO", sentinels.text())
    private.add_new(0x02, "UN", sentinels.text().encode() + b"\0")
    innermost, nested = Dataset(), Dataset()
    innermost.PatientName, innermost.RequestingService = sentinels.text(), sentinels.text()
    innermost.private_block(0x0013, sentinels.text(), create=True).add_new(0x05, "ST", sentinels.text())
    nested.CodeMeaning, nested.RequestAttributesSequence = sentinels.text(), Sequence([innermost])
    dataset.RequestAttributesSequence = Sequence([nested])
    window, shared = Dataset(), Dataset()  # beside the values that decoding does read
    window.WindowCenter, window.WindowWidth = 128, 256
    window.WindowCenterWidthExplanation = sentinels.text()
    shared.FrameVOILUTSequence, shared.DerivationDescription = Sequence([window]), sentinels.text()
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    dataset.add_new((0x6000, 0x0022), "LO", sentinels.text())  # overlay description
    dataset.add_new((0x6000, 0x4000), "LT", sentinels.text())  # overlay comments


def planted_file(sentinels: Sentinels, **tags: Any) -> bytes:
    shade = np.random.default_rng(len(sentinels.planted)).integers(0, 255, (32, 32), np.uint8)
    dataset = image_dataset(shade)
    plant(dataset, sentinels)
    for keyword, value in tags.items():
        dataset[keyword].value = value
    data = file_bytes(dataset)
    meta = sentinels.text()
    # Into the file meta information, whose writer refuses names: the implementation's version.
    return data.replace(b"PYDICOM 3.0.2 ", meta.encode() + b" " * (14 - len(meta)))


def broken_files(sentinels: Sentinels) -> Iterator[tuple[str, bytes]]:
    whole = planted_file(sentinels)
    yield "cut in the header", whole[: len(whole) // 3]
    yield "cut in the pixels", whole[:-100]
    yield "length beyond the end", whole.replace(b"PN", b"UN", 1)
    for keyword, kind in (("Rows", b"US"), ("BitsAllocated", b"US"), ("PhotometricInterpretation", b"CS")):
        yield keyword, planted_file(sentinels, **{keyword: 0 if kind == b"US" else sentinels.text()})
    number = sentinels.text()
    dataset = image_dataset(np.zeros((4, 4), np.uint8))
    plant(dataset, sentinels)
    del dataset.SharedFunctionalGroupsSequence  # whose window would come first
    dataset.WindowCenter, dataset.WindowWidth = "1111111111", "2222222222"
    yield "not a number", file_bytes(dataset).replace(b"1111111111", number.encode())
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    syntax = sentinels.number()
    unknown = file_bytes(dataset).replace(b"1.2.840.10008.1.2.1\0", (f"1.2.8.{syntax}.1")[:19].encode() + b"\0")
    yield "unknown transfer syntax", unknown
    dataset.SOPClassUID = sentinels.uid()
    del dataset.PixelData
    yield "no image, of an unknown class", file_bytes(dataset)


@pytest.mark.filterwarnings("ignore:.*:UserWarning:pydicom")  # of writing the broken files
@pytest.mark.parametrize("kind", ["corpus.jsonl", ""], ids=["jsonl", "folder"])
def test_no_identifier_leaves_a_dicom_header(
    kind: str, tmp_path: Path, samples: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("", *logging.root.manager.loggerDict):
        caplog.set_level(logging.DEBUG, logger=name or None)
    sentinels, corpus, index = Sentinels(), tmp_path / "corpus", tmp_path / "index"
    files = {f"good-{number}": planted_file(sentinels) for number in range(4)}
    for data in files.values():
        assert len(sentinels.found_in(data)) > 50, "the sentinels are there to be found"
    assert sentinels.found_in(sentinels.planted[0].encode("utf-16")) == {sentinels.planted[0]}
    files |= {f"bad-{number}": data for number, (_, data) in enumerate(broken_files(sentinels))}
    canary = sentinels.text()  # in the reports, which are kept: if it is not found, the search is blind
    write_corpus(corpus, files, f"Report {canary}.")
    caplog.clear()
    capfd.readouterr()

    encoder = Encoder.open(f"local-dir:{samples / 'models/encoder'}", "cpu")
    report = build_index(corpus / kind, index, encoder)
    assert 4 <= report.embedded < len(files) - 5
    assert (index / "skipped.jsonl").read_text().count("\n") == len(files) - report.embedded
    texts = [str(report)]
    with Index.open(index) as opened:
        [matches] = opened.search("general", encoder.embed_images([load_image(corpus / "good-0.dcm")]), 10)
        texts += [str(match) for match in matches]
    for name, data in files.items():
        try:
            texts.append(str(pseudonyms(data, b"k" * 32)))
        except InputError as error:
            texts.append(f"{name}: {error!r} {error.__cause__!r}")
    texts += [*capfd.readouterr()]
    texts += [f"{record.getMessage()} {record.exc_text} {record.args}" for record in caplog.records]
    assert sentinels.found_in("\n".join(texts).encode()) == {canary}
    kept = [path for path in sorted(index.rglob("*")) if path.is_file()]
    assert set().union(*(sentinels.found_in(path.read_bytes()) for path in kept)) == {canary}
    assert sentinels.found_in("\n".join(map(str, kept)).encode()) == set()


def write_corpus(folder: Path, files: dict[str, bytes], report: str) -> None:
    """Write the files with their report beside them, and a manifest of all."""
    folder.mkdir()
    with (folder / "corpus.jsonl").open("w") as lines:
        for name, data in files.items():
            (folder / f"{name}.dcm").write_bytes(data)
            (folder / f"{name}.txt").write_text(report)
            lines.write(json.dumps({"id": name, "image": f"{name}.dcm", "report": report}) + "\n")
