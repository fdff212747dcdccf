"""A question file of real images through the shipped model, mined in one call."""

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from indexing import ImageView
from preference import (
    ImageNoise,
    MiningOptions,
    Reliance,
    locate_evidence,
    measure_reliance,
    mine_pairs,
    mine_run,
    restrict_noise,
    weigh_pairs,
)
from rag import QuestionOptions, QuestionRun, SystemOptions, TrainedImage, TransformersMLLM, write_trained_on
from titrate import InputError, TitrateWarning

PER_ANSWER = 8
"""Number of questions with each answer."""


@pytest.fixture(scope="module")
def questions(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give closed questions of the prefer split, as many with answer yes as with no, and one of the indexed split."""
    lines = (samples / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    asked = [(line, json.loads(line)) for line in lines]
    closed = [(line, q) for line, q in asked if q["options"] and q["domain"] == "radiology"]
    kept = [line for line, q in closed if q["split"] == "train"][:1]
    for answer in ("yes", "no"):
        kept += [line for line, q in closed if (q["split"], q["answer"]) == ("prefer", answer)][:PER_ANSWER]
    path = tmp_path_factory.mktemp("questions") / "questions.jsonl"
    path.write_text("\n".join(kept) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(questions: Path, samples: Path, index_folder: Path) -> Iterator[QuestionRun]:
    """Give the questions' run with the shipped model, at one context; what it has scored it does not score again."""
    options = QuestionOptions(questions, samples, max_k=1, outcomes=questions.parent / "outcomes")
    system = SystemOptions(index_folder, str(samples / "models/mllm"), device="cpu")
    with QuestionRun.open(system, options) as opened:
        yield opened


def test_it_is_every_step_in_turn(run: QuestionRun) -> None:
    retrieved = run.retrieve(run.read("prefer"))
    noise = ImageNoise(300, run.system.mllm.image_side, seed=3)
    clean, noised = run.score(retrieved), run.score(retrieved, alter=noise.apply, alteration=asdict(noise))
    chosen: dict[str, Any] = {"kinds": ("copying",), "per_kind": 4, "seed": 3, "balance": False}
    mined = mine_pairs(clean, noised=noised, noise=noise, view=run.system.view, **chosen)
    result = mine_run(run, options=MiningOptions(strength=300, **chosen))
    assert result.reliance == tuple(measure_reliance(clean, run.known_questions(clean.questions), 1, noised=noised))
    assert result.reliance[0].copying is not None
    assert result.pairs == tuple(weigh_pairs(mined))
    assert (result.found, result.notes) == (mined.found, mined.notes)
    assert result.pairs and {pair.split for pair in result.pairs} == {"prefer"}
    assert mine_run(run, options=MiningOptions(strength=300, weights="none", **chosen)).pairs == mined.pairs


def test_noise_on_the_lesion_alone(run: QuestionRun, questions: Path) -> None:
    options: dict[str, Any] = {"kinds": ("copying", "anchor"), "per_kind": 2, "balance": False, "noise": "lesion"}
    whole = mine_run(run, options=MiningOptions(**{**options, "noise": "whole"}, weights="none")).pairs
    evidence = locate_evidence(run.system.mllm, whole, view=run.system.view)
    found = mine_run(run, options=MiningOptions(**options, weights="none")).pairs
    assert found == tuple(restrict_noise(whole, evidence))
    assert {pair.kind for pair in found} == {"copying", "anchor"}
    drawn = questions.parent / "boxes.jsonl"
    boxes = [{"image": str(pair.image.relative_to(run.root)), "box": [0, 0, 9, 9]} for pair in whole]
    drawn.write_text("".join(json.dumps(box) + "\n" for box in boxes))
    boxed = mine_run(run, options=MiningOptions(**options, regions=drawn)).pairs
    assert all(pair.rejected_noise.region[:2] == (0, 0) for pair in boxed if pair.rejected_noise)  # type: ignore[index]
    assert all(0.75 <= pair.weight <= 1.25 for pair in boxed)
    assert [pair.id for pair in boxed] == [pair.id for pair in whole]


def test_reliance_is_told_even_where_nothing_can_be_mined(run: QuestionRun, monkeypatch: pytest.MonkeyPatch) -> None:
    one_sided = [question for question in run.read("prefer") if question.answer == "yes"]
    monkeypatch.setattr(run, "read", lambda split: one_sided)
    told: list[Sequence[Reliance]] = []
    with pytest.raises(InputError, match="No pair is left"):
        mine_run(run, options=MiningOptions(kinds=("copying",)), measured=told.append)
    assert [[measure.domain for measure in measures] for measures in told] == [["radiology"]]


def test_what_is_never_trained_on_is_not_even_scored(
    run: QuestionRun, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scored(*_: object, **__: object) -> None:
        raise AssertionError("a held-back question was scored")

    monkeypatch.setattr(TransformersMLLM, "score_nested", scored)
    asked = QuestionOptions(samples / "questions.jsonl", max_k=1, loss="tokens", outcomes=tmp_path)
    held_back = QuestionRun(run.system, asked)
    for split in ("calibrate", "test"):
        with pytest.raises(InputError, match=rf"question .* is of the {split} split, which is never trained on"):
            mine_run(held_back, split)
    with pytest.raises(InputError, match=r"k = 2 is outside the outcome table \(0 to 1\)"):
        mine_run(run, options=MiningOptions(k=2))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"kinds": ()}, "kinds are none; give some of over-reliance"),
        ({"kinds": ("hunch",)}, "kinds are hunch"),
        ({"per_question": 0}, "per_question is 0"),
        ({"per_kind": 1}, "per_kind 1"),
        ({"strength": 0}, "noise strength is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"regions": Path("boxes.jsonl")}, "give --noise lesion too"),
    ],
)
def test_unsound_options_are_refused_when_they_are_made(options: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        MiningOptions(**options)


def test_mining_patients_that_the_model_was_trained_on_is_told(
    questions: Path, samples: Path, index_folder: Path, tmp_path: Path
) -> None:
    model = shutil.copytree(samples / "models/mllm", tmp_path / "mllm")
    known = next(q for q in map(json.loads, questions.read_text().splitlines()) if q["split"] == "prefer")
    write_trained_on(model, [TrainedImage.of(samples / known["image"], ImageView(), known["patient"], known["study"])])
    system = SystemOptions(index_folder, str(model), device="cpu")
    with (
        QuestionRun.open(system, QuestionOptions(questions, samples, max_k=1, outcomes=tmp_path / "kept")) as opened,
        pytest.raises(TitrateWarning, match=r"trained on 1 of the \d+ patients of split prefer: how far it"),
    ):  # warnings are errors here, so that nothing is scored
        mine_run(opened)
