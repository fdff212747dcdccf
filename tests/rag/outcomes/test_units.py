"""What a certificate says was counted as independent."""

import warnings
from pathlib import Path

import pytest

from rag.outcomes.calibrate import _unit
from rag.questions import Question
from titrate import TitrateWarning


def asked(patient: str | None, study: str | None) -> Question:
    return Question(
        image=Path("a.png"), text="Is it?", options=("yes", "no"), answer="no", patient=patient, study=study
    )


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
    who: list[tuple[str | None, str | None]], unit: str, told: str | None
) -> None:
    questions = [asked(*ids) for ids in who]
    if told is None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert _unit(questions) == unit
        return
    with pytest.warns(TitrateWarning, match=told):
        assert _unit(questions) == unit
