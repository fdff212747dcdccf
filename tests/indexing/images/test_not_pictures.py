"""Files with pixels that are no pictures: refused, with what they are instead."""

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom import uid

from indexing.images.decode import decode_image
from indexing.images.dicom import why_no_picture
from tests.indexing.dicom_files import file_bytes, image_dataset, image_file
from titrate import InputError

EXAMPLES = Path(pydicom.__file__).parent / "data" / "test_files"
RAMP = np.array([[0, 100], [200, 300]], np.uint16)
CAPTURE, WHOLE_SLIDE = uid.SecondaryCaptureImageStorage, uid.VLWholeSlideMicroscopyImageStorage


@pytest.mark.parametrize(
    ("tags", "kind"),
    [
        ({"SOPClassUID": uid.SegmentationStorage}, "a segmentation"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.7"}, "a segmentation"),  # label maps, of 2024
        ({"SOPClassUID": uid.RTDoseStorage}, "a grid of radiation doses"),
        ({"SOPClassUID": uid.GrayscaleSoftcopyPresentationStateStorage}, "a presentation state"),
        ({"SOPClassUID": uid.AdvancedBlendingPresentationStateStorage}, "a presentation state"),
        ({"SOPClassUID": uid.EncapsulatedPDFStorage}, "an encapsulated document"),
        ({"SOPClassUID": uid.MultiFrameSingleBitSecondaryCaptureImageStorage}, "a scanned form of black and white"),
        ({"SOPClassUID": CAPTURE, "Modality": "SEG"}, "a segmentation"),
        ({"SOPClassUID": CAPTURE, "Modality": "DOC"}, "a document"),
        ({"SOPClassUID": CAPTURE, "ConversionType": "SD"}, "a scanned document"),
        ({"SOPClassUID": WHOLE_SLIDE, "ImageType": ["ORIGINAL", "PRIMARY", "LABEL", "NONE"]}, "the label of a slide"),
        ({"SOPClassUID": WHOLE_SLIDE, "ImageType": ["DERIVED", "PRIMARY", "OVERVIEW"]}, "the overview of a slide"),
        ({"SOPClassUID": CAPTURE, "ImageType": ["ORIGINAL", "SECONDARY", "LABEL"]}, "the label of a slide"),
        (
            {
                "SOPClassUID": WHOLE_SLIDE, "ImageType": ["ORIGINAL", "PRIMARY", "THUMBNAIL"],
                "SpecimenLabelInImage": "YES",
            },
            "an image of a slide with its label",
        ),
    ],
)  # fmt: skip
def test_what_is_no_picture_is_refused(tags: dict[str, Any], kind: str) -> None:
    data = image_file(RAMP, PatientName="SECRET", **tags)
    told = why_no_picture(data, "a.dcm")
    assert told is not None and told.startswith(kind)
    with pytest.raises(InputError, match=f"image a.dcm is no picture but {kind}") as caught:
        decode_image(data, "a.dcm")
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    "tags",
    [
        {"SOPClassUID": uid.CTImageStorage, "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"], "Modality": "CT"},
        {"SOPClassUID": uid.DigitalXRayImageStorageForPresentation, "Modality": "DX"},
        {"SOPClassUID": CAPTURE, "ConversionType": "DF", "Modality": "OT"},
        {"SOPClassUID": CAPTURE, "ImageType": ["DERIVED", "SECONDARY"]},
        {"SOPClassUID": uid.MultiFrameTrueColorSecondaryCaptureImageStorage},
        {"SOPClassUID": uid.RTImageStorage, "Modality": "RTIMAGE"},
        {"SOPClassUID": WHOLE_SLIDE, "ImageType": ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]},
        {"SOPClassUID": WHOLE_SLIDE, "ImageType": ["DERIVED", "PRIMARY", "THUMBNAIL", "RESAMPLED"]},
        {"SOPClassUID": uid.CTImageStorage, "ImageType": ["ORIGINAL", "PRIMARY", "LABEL"]},  # arterial spin labelling
        {"SOPClassUID": "1.2.3.4"},
        {"ImageType": None},
    ],
)
def test_pictures_stay_pictures(tags: dict[str, Any]) -> None:
    data = image_file(RAMP, **{keyword: value for keyword, value in tags.items() if value is not None})
    assert why_no_picture(data, "a.dcm") is None
    assert np.asarray(decode_image(data, "a.dcm")).shape == (2, 2, 3)


def test_what_stands_beside_pictures_is_left_out_of_folders_only() -> None:
    for kind, name in (
        (uid.ParametricMapStorage, "Parametric Map"),
        (uid.RTPlanStorage, "RT Plan"),
        (uid.SpatialRegistrationStorage, "Spatial Registration"),
    ):
        data = image_file(RAMP, SOPClassUID=kind)
        assert why_no_picture(data, "a.dcm") == name
        assert np.asarray(decode_image(data, "a.dcm")).shape == (2, 2, 3)


def test_segmentations_and_doses_that_pydicom_ships() -> None:
    for name, kind in (
        ("liver_1frame.dcm", "a segmentation"),
        ("liver_expb_1frame.dcm", "a segmentation"),
        ("rtdose.dcm", "a grid of radiation doses"),
        ("rtdose_rle.dcm", "a grid of radiation doses"),
        ("CT_small.dcm", None),
    ):
        assert why_no_picture((EXAMPLES / name).read_bytes(), name) == kind


def test_unreadable_headers_are_refused() -> None:
    with pytest.raises(InputError, match="unknown transfer syntax"):
        why_no_picture(image_file(RAMP).replace(b"10008.1.2.1\0", b"10008.9.9.9\0"), "a.dcm")
    deflated = file_bytes(image_dataset(RAMP), uid.DeflatedExplicitVRLittleEndian)
    with pytest.raises(InputError, match=r"a\.dcm is damaged DICOM"):
        why_no_picture(deflated[: deflated.index(b"1.2.840.10008.1.2.1.99") + 22] + b"\xff" * 300, "a.dcm")
