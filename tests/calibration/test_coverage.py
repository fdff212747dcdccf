"""Which questions a certificate covers."""

import pytest

from calibration import Certificate, QuestionKind
from titrate import InputError

ASKED = [
    ("p1", "Is there an effusion?", ("yes", "no")),
    ("p1", "Is there pneumonia?", ("no", "yes")),
    ("p2", "Is there pneumonia?", ("yes", "no")),
    ("p2", "Which side?", ("left", "right")),
]
CERTIFICATE = Certificate(
    alpha=0.2,
    delta=0.1,
    unit="patient",
    p_value="star",
    procedure="closed-e",
    fingerprints={},
    versions={},
    created="2026-01-01T00:00:00+00:00",
    domains={},
    outcomes="0",
    questions={"chest": QuestionKind.collect(ASKED)},
)


def test_kinds_are_sets_of_options() -> None:
    kinds = QuestionKind.collect([*ASKED, ("p3", "What is it?", None)])
    assert [(kind.options, kind.units) for kind in kinds] == [(None, 1), (("left", "right"), 1), (("no", "yes"), 2)]
    assert [len(kind.wordings) for kind in kinds] == [1, 1, 2]
    assert not any("pneumonia" in word for kind in kinds for word in kind.wordings)


@pytest.mark.parametrize(
    ("domain", "text", "options", "why"),
    [
        ("chest", "is there PNEUMONIA", ("no", "yes"), None),
        ("chest", "Which side?", ("right", "left"), None),
        ("chest", "Is there pneumonia?", ("left", "right"), "another kind"),
        ("chest", "Is there a goal?", ("no", "yes"), "another kind"),
        ("chest", "Is there no pneumonia?", ("no", "yes"), "another kind"),
        ("chest", "Is there?", ("no", "yes"), "another kind"),
        ("chest", "Is there an  effusion ?", ("no", "yes"), None),
        ("chest", "Is there pneumonia?", ("maybe", "no", "yes"), "these options"),
        ("chest", "Is there pneumonia?", None, "free text"),
        ("skin", "Is there pneumonia?", ("no", "yes"), "does not say"),
    ],
)
def test_what_is_covered(domain: str, text: str, options: tuple[str, ...] | None, why: str | None) -> None:
    said = CERTIFICATE.why_not_covered(domain, text, options)
    assert said is None if why is None else why in (said or "")


def test_kinds_are_read_as_written() -> None:
    for kind in QuestionKind.collect([*ASKED, ("p3", "What is it?", None)]):
        value = {name: list(item) if isinstance(item, tuple) else item for name, item in kind.to_json().items()}
        assert QuestionKind.from_json(value, "here", "calibrate") == kind
        with pytest.raises(InputError, match="units"):
            QuestionKind.from_json({**value, "units": 0}, "here", "calibrate")
