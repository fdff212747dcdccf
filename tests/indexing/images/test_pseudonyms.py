"""Pseudonyms of patients and studies, worked by hand."""

import hashlib
import hmac

import numpy as np
import pytest

from indexing.images.pseudonyms import pseudonym, pseudonyms
from tests.indexing.dicom_files import image_file
from titrate import InputError

RAMP = np.array([[0, 100], [200, 300]], np.int16)


def test_pseudonyms_by_hand() -> None:
    key = b"k" * 32
    data = image_file(RAMP, PatientID="P-17", IssuerOfPatientID="Ward", StudyInstanceUID="1.2.9")
    message = (7).to_bytes(8, "big") + b"patient" + (4).to_bytes(8, "big") + b"P-17" + (0).to_bytes(8, "big")
    patient, study = pseudonyms(data, key)
    assert patient == hmac.new(key, message, hashlib.sha256).hexdigest()[:16] == pseudonym("P-17", "patient", key)
    assert study is not None and len(study) == 16 and study != patient
    assert study == pseudonym("1.2.9", "study", key)
    assert pseudonyms(image_file(RAMP.T, PatientID="P-17 "), key) == (patient, None)  # whoever issued it
    assert pseudonyms(image_file(RAMP, PatientID="P-18"), key)[0] not in (patient, None)
    assert pseudonyms(data, b"l" * 32)[0] != patient
    assert pseudonyms(image_file(RAMP, PatientID=" "), key) == (None, None)
    seven = pseudonym("7", "patient", key)
    assert [pseudonyms(image_file(RAMP, PatientID=text), key)[0] == seven for text in ("7", "7.0", "007")] == [
        True, True, False
    ]  # fmt: skip
    with pytest.raises(InputError, match="not DICOM"):
        pseudonyms(b"\x89PNG\r\n\x1a\n", key)
    with pytest.raises(ValueError, match="at least 16"):
        pseudonyms(data, b"")
