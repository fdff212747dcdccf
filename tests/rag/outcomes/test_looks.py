"""What a second look at calibrated patients is: the same again, a continuation, another system's, or refused."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from calibration import OutcomeTable
from rag.outcomes.looks import Look, LookLedger
from rag.questions import Question
from titrate import InputError, hash_patient

SYSTEM, SETTINGS = {"mllm": "1", "index": "2"}, {"alpha": 0.2, "procedure": "closed-e"}


@pytest.fixture(autouse=True)
def _images(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand where every patient has an image, all different."""
    folder = tmp_path_factory.mktemp("images")
    for name in (*"abcdef", "Doe, Jane"):
        (folder / f"{name}.png").write_bytes(name.encode())
    monkeypatch.chdir(folder)


def asked(patients: Sequence[str], text: str = "Any effusion?") -> list[Question]:
    return [
        Question(image=Path(f"{name}.png"), text=text, options=("yes", "no"), id=f"q {name}", patient=name, answer="no")
        for name in patients
    ]


def outcomes(questions: Sequence[Question]) -> OutcomeTable:
    losses = np.zeros((len(questions), 2))
    return OutcomeTable(
        question_ids=[question.id for question in questions],
        units=[question.unit for question in questions],
        domains=["radiology"] * len(questions),
        losses=losses,
        confidences=losses,
        answers=[["no", "no"]] * len(questions),
    )


def look(
    folder: Path,
    questions: Sequence[Question],
    *,
    system: dict[str, str] = SYSTEM,
    settings: dict[str, object] | None = None,
    delta: float = 0.1,
    goes_on: bool = True,
) -> Look:
    """Plan and note a calibration, as a run does."""
    with LookLedger(folder) as ledger:
        planned = ledger.plan(questions, system, settings or SETTINGS, delta, goes_on=goes_on)
        ledger.note(planned, outcomes(questions), questions)
        return planned


def test_the_same_again_is_the_same_look(tmp_path: Path) -> None:
    first = look(tmp_path, asked("ab"))
    assert (first.number, first.spent, len(first.rounds)) == (1, 0, 1)
    assert look(tmp_path, asked("ba")) == first
    assert (tmp_path / "looks.jsonl").read_text().count("\n") == 1
    other_patients = look(tmp_path, asked("cd"), settings={"alpha": 0.3})
    assert (other_patients.number, other_patients.spent) == (1, 0)


def test_new_patients_continue_it_round_after_round(tmp_path: Path) -> None:
    look(tmp_path, asked("ab"))
    second, third = look(tmp_path, asked("abc")), look(tmp_path, asked("abcde"))
    assert [len(names) for names in second.rounds] == [2, 1]
    assert [len(names) for names in third.rounds] == [2, 1, 2]
    assert third.earlier(asked("abcde")) == [["a", "b"], ["c"]]
    assert (third.number, third.spent) == (1, 0)
    with LookLedger(tmp_path) as ledger:
        known = ledger.known(third, asked("abcde"))
        assert known is not None
        assert sorted(known.units) == ["a", "b", "c", "d", "e"], "noted already, so nothing is scored again"
        fourth = ledger.plan(asked("abcdef"), SYSTEM, SETTINGS, 0.1, goes_on=True)
        before = ledger.known(fourth, asked("abcdef"))
        assert before is not None
        assert sorted(before.units) == ["a", "b", "c", "d", "e"]
        assert ledger.known(ledger.plan(asked("f"), SYSTEM, SETTINGS, 0.1, goes_on=True), asked("f")) is None
    assert look(tmp_path, asked("abc")) == second, "to see it once more costs nothing"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"settings": {"alpha": 0.25, "procedure": "closed-e"}}, "other settings were tested on 2 of these 2 patients"),
        ({"settings": {"alpha": 0.2, "procedure": "sgt"}}, "other settings were tested on"),
        ({"delta": 0.2}, "delta = 0.1 was promised for 2 of these 2 patients"),
        (
            {"system": {"mllm": "tuned"}},
            "0.1 of delta is spent on 2 .* more than 0.1 as --delta, or",
        ),
    ],
)
def test_trying_until_it_certifies_is_refused(tmp_path: Path, change: dict[str, object], words: str) -> None:
    look(tmp_path, asked("ab"))
    with pytest.raises(InputError, match=words) as error:
        look(tmp_path, asked("ab"), **change)  # type: ignore[arg-type]
    assert "patients that nothing was calibrated on" in str(error.value)
    assert "\n" not in str(error.value)
    assert (tmp_path / "looks.jsonl").read_text().count("\n") == 1


def test_what_is_no_continuation_is_refused(tmp_path: Path) -> None:
    look(tmp_path, asked("ab"))
    with pytest.raises(InputError, match="other questions were asked about"):
        look(tmp_path, [*asked("ab", "Any mass?"), *asked("c")])
    with pytest.raises(InputError, match="other questions were asked about"):
        look(tmp_path, asked("ac"))
    with pytest.raises(InputError, match="other questions were asked about"):
        look(tmp_path, [*asked("ab"), Question(**vars(asked("a")[0]) | {"id": "one more"}), *asked("c")])
    once = tmp_path / "once"
    look(once, asked("ab"), goes_on=False)
    with pytest.raises(InputError, match="may be looked at once only"):
        look(once, asked("abc"), goes_on=False)


def test_another_system_gets_what_is_left_of_delta(tmp_path: Path) -> None:
    look(tmp_path, asked("ab"), delta=0.04)
    second = look(tmp_path, asked("ab"), system={"mllm": "tuned"}, delta=0.1)
    assert (second.number, second.spent) == (2, 0.04)
    third = look(tmp_path, asked("ab"), system={"mllm": "a third"}, delta=0.15)
    assert third.number == 3
    assert third.spent == pytest.approx(0.1)
    # Each goes on at its own share.
    on = look(tmp_path, asked("abc"), system={"mllm": "tuned"})
    assert (on.number, on.spent, len(on.rounds)) == (2, 0.04, 2)


def test_the_folder_names_no_patient_and_is_held_alone(tmp_path: Path) -> None:
    look(tmp_path, asked(["Doe, Jane"]))
    kept = "".join(path.read_text() for path in tmp_path.iterdir())
    assert hash_patient("Doe, Jane") in kept
    assert '"unit": "Doe' not in kept
    with LookLedger(tmp_path), pytest.raises(InputError, match="another calibration is at work"):
        LookLedger(tmp_path)


def test_a_torn_line_was_no_look_and_a_damaged_one_is_an_error(tmp_path: Path) -> None:
    first = look(tmp_path, asked("ab"))
    path = tmp_path / "looks.jsonl"
    with path.open("a") as file:
        file.write('{"made": "20')
    assert look(tmp_path, asked("ab")) == first
    assert path.read_text().count("\n") == 1
    path.write_text(path.read_text().replace('"delta": 0.1', '"delta": 7'))
    with pytest.raises(InputError, match=r"looks\.jsonl, line 1: delta is not a number in"):
        LookLedger(tmp_path)
    path.write_text("\n")
    with pytest.raises(InputError, match="line 1: damaged"):
        LookLedger(tmp_path)


def test_calibrations_cannot_be_joined_afterwards(tmp_path: Path) -> None:
    """Whoever knows how both ended would choose whom to add by it."""
    look(tmp_path, asked("ab"))
    look(tmp_path, asked("cd"))
    with pytest.raises(InputError, match="several calibrations were made on 4 of these 4 patients"):
        look(tmp_path, asked("abcd"))
    other = tmp_path / "other"
    look(other, asked("ab"))
    look(other, asked("cd"), system={"mllm": "another"})
    with pytest.raises(InputError, match="another system alone was calibrated on 2 of these 4 patients"):
        look(other, asked("abcd"))
    with pytest.raises(InputError, match=r"0\.2 of delta is spent on 4"):
        look(tmp_path, asked("abcd"), system={"mllm": "another"}, delta=0.15)


def test_two_systems_go_on_side_by_side(tmp_path: Path) -> None:
    look(tmp_path, asked("ab"), delta=0.05)
    look(tmp_path, asked("ab"), delta=0.1, system={"mllm": "tuned"})
    first = look(tmp_path, asked("abc"), delta=0.05)
    second = look(tmp_path, asked("abc"), delta=0.1, system={"mllm": "tuned"})
    assert [(one.spent, len(one.rounds)) for one in (first, second)] == [(0, 2), (0.05, 2)]


def test_images_are_known_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is named: the image is the unit, wherever it lies; and other pixels are another question."""

    def unnamed(image: Path) -> list[Question]:
        return [Question(image=image, text="Any mass?", options=("yes", "no"), id="q", answer="no")]

    first = look(tmp_path, unnamed(Path("a.png")))
    assert look(tmp_path, unnamed(Path("a.png").absolute())) == first
    (tmp_path / "copied").mkdir()
    (tmp_path / "copied/a.png").write_bytes(b"a")
    with pytest.raises(InputError, match="of delta is spent on 1 of these 1 patients"):
        look(tmp_path, unnamed(tmp_path / "copied/a.png"), system={"mllm": "another"})
    look(tmp_path, asked("b"))
    Path("b.png").write_bytes(b"cropped")
    with pytest.raises(InputError, match="other questions were asked about"):
        look(tmp_path, asked("b"))


@pytest.mark.parametrize("rounds", ["[]", "[1]"])
def test_rounds_that_are_none(tmp_path: Path, rounds: str) -> None:
    look(tmp_path, asked("a"))
    path = tmp_path / "looks.jsonl"
    kept = path.read_text()
    path.write_text(kept[: kept.index('"rounds": ') + 10] + rounds + kept[kept.index(', "goes_on"') :])
    with pytest.raises(InputError, match="rounds is not a list of lists"):
        LookLedger(tmp_path)
