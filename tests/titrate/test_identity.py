"""Who something is about, and that nobody is in two splits."""

from hashlib import sha256

import pytest

from titrate import InputError, check_no_overlap, examination, hash_patient, independent_unit, patient_or_study


@pytest.mark.parametrize(
    ("patient", "study", "unit", "examined"),
    [
        ("p1", "s1", "p1", "s1"),
        ("p1", None, "p1", "p1"),
        (None, "s1", "s1", "s1"),
        ("", "s1", "s1", "s1"),
        (None, None, "a.png", "a.png"),
        ("", "", "a.png", "a.png"),
    ],
)
def test_the_patient_stands_for_all_its_images_and_the_study_for_its_report(
    patient: str | None, study: str | None, unit: str, examined: str
) -> None:
    assert independent_unit(patient, study, "a.png") == unit
    assert examination(patient, study, "a.png") == examined
    assert patient_or_study(patient, study) == (None if unit == "a.png" else unit)


def test_patients_are_hashed_as_plain_utf8() -> None:
    assert hash_patient("p17") == sha256(b"p17").hexdigest()
    assert hash_patient("Müller") == sha256("Müller".encode()).hexdigest()


def test_shared_patients_are_counted_by_place() -> None:
    hashes = {name: {hash_patient(patient) for patient in patients} for name, patients in
              {"train": ("p1", "p2", "x"), "index": ("p2",), "prefer": ("y",)}.items()}  # fmt: skip
    with pytest.raises(InputError, match=r"^of 3 calibration patients, 1 are in index and 2 are in train; calibrate"):
        check_no_overlap(["p1", "p2", "p3"], hashes)
    check_no_overlap(["p3"], hashes)
    check_no_overlap([], hashes)
