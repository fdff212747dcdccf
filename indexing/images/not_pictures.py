"""DICOM files that have pixels, or might, and are no picture of a patient: masks, doses, forms, slide labels.

Told by the header alone: the SOP class, or where that is missing or a general one, modality and image type.
"""

from typing import TYPE_CHECKING

from titrate import InputError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

NOT_PICTURE_TAGS = ("SOPClassUID", "Modality", "ImageType", "ConversionType", "SpecimenLabelInImage")

_STORAGE = "1.2.840.10008.5.1.4.1.1."
# DICOM PS3.4, B.5. A dot at the end stands for every class below.
_CLASSES = (
    ("66.4", "a segmentation"),
    ("66.5", "a segmentation"),
    ("66.7", "a segmentation"),
    ("66.8", "a height map of segments"),
    ("481.2", "a grid of radiation doses"),
    ("11.", "a presentation state"),
    ("104.", "an encapsulated document"),
    ("88.", "a structured report"),
    ("7.1", "a scanned form of black and white"),
)
_MODALITIES = {
    "SEG": "a segmentation",
    "RTDOSE": "a grid of radiation doses",
    "PR": "a presentation state",
    "DOC": "a document",
    "SR": "a structured report",
    "KO": "a selection of images",
}
_SLIDE_PARTS = {"LABEL": "the label of a slide", "OVERVIEW": "the overview of a slide and its label"}
# What scanners of slides write: microscopy, photographs, and secondary captures.
_SLIDE_CLASSES = tuple(_STORAGE + number for number in ("77.1.2", "77.1.3", "77.1.4", "77.1.6", "7", "7.2", "7.4"))
_WHOLE_SLIDE = _STORAGE + "77.1.6"
# In the standard's names of SOP classes (PS3.6, table A-1): what stands beside images and has no pixels, or amounts.
_BESIDE = (
    "RT ", "Parametric Map", "Real World Value", "Registration", "Waveform", "Fiducials", "Raw Data", "Measurements",
    "Tractography",
)  # fmt: skip
_PICTURES_OF_RADIOTHERAPY = ("RT Image Storage", "Enhanced RT Image Storage", "Enhanced Continuous RT Image Storage")


class NoPictureError(InputError):
    """A file that might be an image is no picture of a patient."""


def what_beside(dataset: "Dataset") -> str | None:
    """What the file is, if a folder's report is surely not about it; None if nothing says so.

    A plan, a registration or a map of measured values stands beside the images that it was made from. A map may be
    looked at by itself, so that `what_instead` has no objection.
    """
    from pydicom import uid

    given = uid.UID(_text(dataset, "SOPClassUID") or str(dataset.file_meta.get("MediaStorageSOPClassUID", "")))
    name = given.name if given.name != given else ""
    if name not in _PICTURES_OF_RADIOTHERAPY and any(kind in name for kind in _BESIDE):
        return name.removesuffix(" Storage")
    return None


def what_instead(dataset: "Dataset") -> str | None:
    """What the file is instead of a picture, with its article; None if nothing speaks against a picture.

    Parameters
    ----------
    dataset
        The header's tags named in `NOT_PICTURE_TAGS`, and the SOP class of its file meta information.
    """
    sop_class = _text(dataset, "SOPClassUID") or str(dataset.file_meta.get("MediaStorageSOPClassUID", ""))
    for number, kind in _CLASSES:
        uid = _STORAGE + number
        if sop_class == uid or (number.endswith(".") and sop_class.startswith(uid)):
            return kind
    if (modality := _text(dataset, "Modality")) in _MODALITIES:
        return _MODALITIES[modality]
    if _text(dataset, "ConversionType") == "SD":
        return "a scanned document"
    flavours = _values(dataset, "ImageType")[2:]  # after original or derived, and primary or secondary
    if sop_class in _SLIDE_CLASSES or not sop_class:
        for flavour in flavours:
            if flavour in _SLIDE_PARTS:
                return _SLIDE_PARTS[flavour]
    if sop_class == _WHOLE_SLIDE and "VOLUME" not in flavours and _text(dataset, "SpecimenLabelInImage") == "YES":
        return "an image of a slide with its label"
    return None


def _values(dataset: "Dataset", keyword: str) -> list[str]:
    value = dataset.get(keyword) or []
    return [str(part).strip(" \0").upper() for part in ([value] if isinstance(value, str) else value)]


def _text(dataset: "Dataset", keyword: str) -> str:
    return next(iter(_values(dataset, keyword)), "")
