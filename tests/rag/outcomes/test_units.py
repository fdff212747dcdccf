"""What a certificate says was counted as independent."""

import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from rag.outcomes.units import name_unit
from rag.questions import Question
from titrate import TitrateWarning


def asked(patient: str | None, study: str | None, image: Path) -> Question:
    return Question(image=image, text="Is it?", options=("yes", "no"), answer="no", patient=patient, study=study)


def pictures(folder: Path, contents: str) -> list[Path]:
    """A file for each letter."""
    paths = [folder / f"{number}.png" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_text(content)
    return paths


@pytest.mark.parametrize(
    ("who", "unit", "told"),
    [
        ([("p1", "s1"), ("p2", None)], "patient", None),
        ([(None, "s1"), (None, "s2")], "study", r"2 of 2 questions name no patient: their studies \(2\)"),
        ([(None, None)], "image", r"1 of 1 questions name no patient: their studies \(0\) or images"),
        ([(None, "s1"), (None, None)], "case", r"their studies \(1\) or images"),
        ([("p1", None), (None, "s1")], "case", "1 of 2 questions name no patient"),
    ],
)
def test_the_unit_is_the_one_used_and_a_fallback_is_told(
    who: list[tuple[str | None, str | None]], unit: str, told: str | None, tmp_path: Path
) -> None:
    questions = [asked(*ids, image) for ids, image in zip(who, pictures(tmp_path, "ab"[: len(who)]), strict=True)]
    if told is None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert name_unit(questions) == unit
        return
    with pytest.warns(TitrateWarning, match=told):
        assert name_unit(questions) == unit


def test_one_image_of_several_patients_is_told(tmp_path: Path) -> None:
    one, other = pictures(tmp_path, "ab")
    with pytest.warns(TitrateWarning, match=r"1 images, such as 0\.png, are said to be of several patients or studies"):
        name_unit([asked("p1", None, one), asked("p2", None, one), asked("p3", None, other)])
    name_unit([asked("p1", "s1", one), asked("p1", "s2", one), asked("p3", None, other)])  # a warning would be an error


def test_copies_of_an_image_that_nobody_names_are_told(tmp_path: Path) -> None:
    images = pictures(tmp_path, "aab")
    with (
        pytest.warns(TitrateWarning, match="1 images without patient or study are copies of others, byte for byte"),
        pytest.warns(TitrateWarning, match="3 of 3 questions name no patient"),
    ):
        assert name_unit([asked(None, None, image) for image in images]) == "image"


def test_patients_of_several_sources_are_told(tmp_path: Path) -> None:
    # Both hospitals have a patient 1. "North" and "north" are one.
    who = [("1", "North"), ("1", "south"), ("2", "North"), ("2", " north"), ("3", None), ("3", "south")]
    questions = [
        replace(asked(patient, None, image), source=source)
        for (patient, source), image in zip(who, pictures(tmp_path, "abcdef"), strict=True)
    ]
    with pytest.warns(TitrateWarning, match="1 patients have questions of several sources and count as one each"):
        assert name_unit(questions) == "patient"
    name_unit(questions[1:])  # a warning would be an error
