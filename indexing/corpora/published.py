"""Tables of public archives whose image and report stand in no column: how a row of theirs becomes a row of ours.

Names and layouts as the archives publish them: ROCO v2 (doi 10.1038/s41597-024-03496-6), Open-i's IU X-Ray as a pair of
tables, MIMIC-CXR and MIMIC-CXR-JPG (doi 10.1038/s41597-019-0322-0).
"""

import csv
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path, PurePosixPath
from typing import Any

from indexing.corpora.base import open_failed
from indexing.corpora.columns import MAX_REPORT, text_of
from indexing.images.files import resolve_image
from titrate import InputError, normal_id, open_file

_ROCO = ("ID", "Caption")
_IU_REPORTS, _IU_IMAGES = ("uid", "findings", "impression"), ("uid", "filename", "projection")
_IU_FOLDERS = ("images/images_normalized", "images_normalized", "images")
_MIMIC_JPG, _MIMIC = ("dicom_id", "study_id", "subject_id", "split"), ("dicom_id", "study_id", "subject_id", "path")
_MIMIC_SPLIT = "mimic-cxr-2.0.0-split.csv"

REPORT_FOLDERS = ("mimic-cxr-reports",)
"""Where MIMIC-CXR's reports may have been unpacked, with the folders of the images below."""

TABLES = ("captions.txt", "train_captions.csv", "indiana_reports.csv", _MIMIC_SPLIT, "annotation.json")
"""What names the images in the folders of these archives."""


@dataclass(frozen=True)
class Layout:
    """How rows of one published table are read.

    Attributes
    ----------
    columns
        Those that are needed; the first tells rows apart.
    convert
        From these columns to fields that `ColumnMap` knows. Raises `InputError` with the reason to skip the row.
    lists
        Whether a row may have several images.
    """

    columns: tuple[str, ...]
    convert: Callable[[Mapping[str, str]], dict[str, Any]]
    lists: bool = False


def layout_of(header: Sequence[str], path: Path, root: Path) -> Layout | None:
    """The layout of a published table, known by its columns; None if it is none of these.

    Parameters
    ----------
    header
        Its columns.
    path, root
        The file, and the folder that holds the images.

    Raises
    ------
    InputError
        If it is a table of such an archive that holds no reports, or one that is to be joined with it is missing.
    """
    names = set(header)
    if names == set(_ROCO):
        return Layout(_ROCO, _RocoImages(path, root))
    if names.issuperset(_IU_REPORTS):
        return Layout(_IU_REPORTS, _IuStudies(path, root), lists=True)
    if names == set(_IU_IMAGES):
        raise InputError(f"{path} names images without reports; index indiana_reports.csv beside it, which finds them")
    if names == set(_MIMIC_JPG):
        return Layout(_MIMIC_JPG, _MimicReports(root))
    if names == set(_MIMIC):
        return Layout(_MIMIC, _MimicReports(root))
    if names.issuperset(_MIMIC_JPG[:3]):
        raise InputError(f"{path} says of no image in which split it is; index {_MIMIC_SPLIT}, which does")
    return None


def published_table(folder: Path) -> str | None:
    """The file of a folder, or its compressed form, that names the images of a known archive; None if there is none."""
    return next((name + end for name in TABLES for end in ("", ".gz") if os.path.isfile(folder / (name + end))), None)


class _RocoImages:
    """ROCO v2: images are called ID.jpg; ``train_captions.csv`` stands beside the folder ``train`` or in it."""

    def __init__(self, path: Path, root: Path) -> None:
        split = path.stem.removesuffix("_captions")
        self._folder = f"{split}/" if os.path.isdir(root / split) else ""

    def __call__(self, row: Mapping[str, str]) -> dict[str, Any]:
        name = row["ID"].strip()
        return {"id": name, "image": f"{self._folder}{name}.jpg", "report": row["Caption"]}


class _IuStudies:
    """IU X-Ray: one table has the reports, the other the images of each; the frontal views come first."""

    def __init__(self, path: Path, root: Path) -> None:
        other = path.with_name(path.name.replace("reports", "projections"))
        if other == path or not os.path.isfile(other):
            raise InputError(
                f"{path} has reports without images; put the table of its images beside it, as indiana_reports.csv has "
                "indiana_projections.csv"
            )
        self._images: dict[str, list[tuple[bool, str]]] = {}
        try:
            with TextIOWrapper(open_file(other), newline="", encoding="utf-8-sig") as file:
                for row in csv.DictReader(file, strict=True):
                    if not row["uid"] or not row["filename"]:
                        raise KeyError("a row without a name")
                    uid = normal_id(row["uid"]) or ""
                    self._images.setdefault(uid, []).append((row["projection"] != "Frontal", row["filename"]))
        except OSError as error:
            raise open_failed(other, error) from error
        except (csv.Error, KeyError, UnicodeDecodeError) as error:
            raise InputError(f"{other} is no table with the columns {', '.join(_IU_IMAGES)}; copy it again") from error
        first = next((images[0][1] for images in self._images.values()), "")
        folders = (folder for folder in _IU_FOLDERS if first and os.path.isfile(root / folder / first))
        self._folder = next((f"{folder}/" for folder in folders), "")

    def __call__(self, row: Mapping[str, str]) -> dict[str, Any]:
        uid = normal_id(row["uid"]) or ""
        images = [self._folder + name for _, name in sorted(self._images.get(uid, []), key=lambda image: image[0])]
        if not images:
            raise InputError("the table of images names none of this study")
        parts = [f"{name.upper()}: {text}" for name in _IU_REPORTS[1:] if (text := text_of(row[name], name))]
        return {"id": uid, "image": images, "report": "\n\n".join(parts), "study": uid}


class _MimicReports:
    """MIMIC-CXR: the report of an image is the text file beside its study's folder, and called like it."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def __call__(self, row: Mapping[str, str]) -> dict[str, Any]:
        patient, study, image = (normal_id(row[name]) or "" for name in ("subject_id", "study_id", "dicom_id"))
        if not (re.fullmatch(r"\d+", patient) and re.fullmatch(r"\d+", study)):
            raise InputError("subject_id or study_id is no number")
        place = row.get("path") or f"files/p{patient[:2]}/p{patient}/s{study}/{image}.jpg"
        name = f"{PurePosixPath(place).parent}.txt"
        try:
            unpacked = next((top for top in ("", *REPORT_FOLDERS) if os.path.isfile(self._root / top / name)), "")
            with open_file(resolve_image(self._root, os.path.join(unpacked, name))) as file:
                data = file.read(4 * MAX_REPORT + 4)
        except (InputError, OSError):
            raise InputError(
                f"its report {name} is not there; unpack mimic-cxr-reports.zip in {os.path.basename(self._root) or '.'}"
            ) from None
        report = text_of(data.removeprefix(b"\xef\xbb\xbf"), "report", limit=MAX_REPORT)
        return {
            "id": image, "image": place, "report": report, "patient": patient, "study": study, "split": row.get("split")
        }  # fmt: skip
