"""What cannot be trained on is named, or left out, before anything is loaded or written; who is held out."""

from collections.abc import Callable
from dataclasses import replace
from math import nan
from pathlib import Path
from typing import Any

import pytest

from preference import Noise, PreferencePair, SkippedPair, TrainingSettings, train_adapter
from preference.training.held_out import hold_out, out_of_patience
from preference.training.rows import TrainingRow
from rag import TransformersMLLM
from titrate import InputError


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """Give a file that is no image."""
    path = tmp_path / "broken.png"
    path.write_bytes(b"not an image")
    return path


@pytest.mark.parametrize(
    "change",
    [
        lambda broken: {"image": Path("nowhere.png")},
        lambda broken: {"image": broken},
        lambda broken: {"rejected_image": broken},
        lambda broken: {"rejected_image": Path("nowhere.png"), "rejected_noise": Noise()},
    ],
    ids=["missing", "unreadable", "unreadable rejected", "missing rejected"],
)
def test_a_bad_image_is_named_before_anything_happens(
    pairs: list[PreferencePair], broken: Path, tmp_path: Path, change: Callable[[Path], dict[str, Any]]
) -> None:
    bad = replace(pairs[1], **change(broken))
    with pytest.raises(InputError, match=r"(broken|nowhere)\.png") as caught:
        train_adapter([pairs[0], bad], "no-model-needed", tmp_path / "adapter")
    assert str(caught.value).startswith(f"pair {bad.id}: ")
    assert list(tmp_path.iterdir()) == [broken]


def too_long(pair: PreferencePair, mllm_folder: Path) -> PreferencePair:
    """The pair with a prompt that is read whole, but leaves no room for the answer."""
    mllm = TransformersMLLM.open(str(mllm_folder), device="cpu")
    most = mllm.base.config.get_text_config().max_position_embeddings
    picture = pair.load_images()[0]

    def length(words: int) -> int:
        return len(mllm.processor(text=mllm.render(" yes" * words), images=picture)["input_ids"][0])

    return replace(pair, id="long", prompt=" yes" * ((most - length(0)) // (length(2) - length(1))))


def test_an_answer_that_would_be_cut_is_named(pairs: list[PreferencePair], mllm_folder: Path, tmp_path: Path) -> None:
    long = too_long(pairs[1], mllm_folder)
    with pytest.raises(
        InputError, match=r"pair long: prompt and answer have .* tokens, this model reads at most"
    ) as told:
        train_adapter([pairs[0], long], str(mllm_folder), tmp_path / "adapter", device="cpu")
    assert "would be cut" in str(told.value)
    longer = replace(long, prompt=long.prompt + " yes" * 50)
    with pytest.raises(InputError, match=r"pair long: the prompt has .* tokens"):
        train_adapter([longer], str(mllm_folder), tmp_path / "adapter", device="cpu")
    assert not list(tmp_path.iterdir())


def test_an_answer_with_a_special_token_is_named(
    pairs: list[PreferencePair], mllm_folder: Path, tmp_path: Path
) -> None:
    special = replace(pairs[1], rejected="no <image>")
    with pytest.raises(InputError, match="answer 'no <image>' holds a special token"):
        train_adapter([pairs[0], special], str(mllm_folder), tmp_path / "adapter", device="cpu")


def test_bad_pairs_are_left_out_and_listed(
    pairs: list[PreferencePair], mllm_folder: Path, broken: Path, tmp_path: Path
) -> None:
    bad = [
        replace(pairs[0], id="broken", image=broken),
        too_long(pairs[0], mllm_folder),
        replace(pairs[0], id="special", rejected="no <eos>"),
    ]
    told: list[SkippedPair] = []
    settings = TrainingSettings(max_steps=1, hold_out=0)
    report = train_adapter(
        [bad[0], pairs[0], *bad[1:], pairs[1]],
        str(mllm_folder),
        tmp_path / "adapter",
        settings,
        device="cpu",
        skip=told.append,
    )
    assert report.pairs == 2
    assert [skipped.where for skipped in told] == ["pair broken", "pair long", "pair special"]
    alone = train_adapter(pairs[:2], str(mllm_folder), tmp_path / "alone", settings, device="cpu")
    assert alone.losses == report.losses
    with pytest.raises(InputError, match="no preference pair can be trained on"):
        train_adapter(bad, str(mllm_folder), tmp_path / "none", device="cpu", skip=told.append)
    with pytest.raises(InputError, match="no preference pair can be trained on"):
        train_adapter(bad[:1], "no-model-needed", tmp_path / "none", skip=told.append)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"epochs": 0.0}, "epochs is 0.0; give a number above 0"),
        ({"learning_rate": nan}, "learning_rate is nan"),
        ({"beta": -0.1}, "beta is -0.1"),
        ({"losses": (("sigmoid", 0.0),)}, "the factor of sigmoid is 0.0"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"accumulate": 0}, "accumulate must be at least 1"),
        ({"max_steps": 0}, "max_steps must be at least 1"),
        ({"patience": 0}, "patience must be at least 1"),
        ({"losses": ()}, "losses are none; give at least one of sigmoid, ipo"),
        ({"losses": (("sft", 1.0),)}, "losses are sft; give at least one of"),
        ({"losses": (("dpo", 1.0),)}, "losses are dpo; give"),
        ({"losses": (("ipo", 1.0), ("ipo", 2.0))}, "each once"),
        ({"losses": (("robust", 1.0),)}, "label_smoothing is 0.0; the robust loss"),
        ({"losses": (("robust", 1.0),), "label_smoothing": 0.5}, "above 0 and under 0.5"),
        ({"label_smoothing": 0.1}, "label_smoothing is 0.1; the robust loss, and no other"),
        ({"hold_out": 1.0}, "hold_out is 1.0; give a share"),
    ],
)
def test_senseless_settings_are_refused(setting: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError) as caught:
        TrainingSettings(**setting)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("pairs_", "changes", "processes", "steps"),
    [
        (10, {"epochs": 3.0, "batch_size": 4}, 1, 9),
        (10, {"epochs": 0.5, "batch_size": 4}, 1, 2),
        (1, {"epochs": 0.1}, 1, 1),
        (10, {"epochs": 3.0, "batch_size": 1, "accumulate": 4}, 1, 9),
        (10, {"epochs": 1.0, "batch_size": 2}, 2, 3),
        (10, {"epochs": 1.0, "batch_size": 2, "accumulate": 2}, 2, 2),
    ],
)
def test_number_of_steps(pairs_: int, changes: dict[str, Any], processes: int, steps: int) -> None:
    settings = TrainingSettings(**changes)
    assert settings.steps(pairs_, processes) == steps
    assert replace(settings, max_steps=1).steps(pairs_, processes) == 1


def test_the_learning_rate_is_smaller_for_all_weights() -> None:
    assert TrainingSettings().rate == 1e-4
    assert TrainingSettings(full=True).rate == 1e-6
    assert TrainingSettings(full=True, learning_rate=3e-5).rate == 3e-5


def rows(pairs: list[PreferencePair], patients: list[str | None]) -> list[TrainingRow]:
    return [
        TrainingRow(replace(pairs[n % 4], id=str(n), patient=patient), "", "", "") for n, patient in enumerate(patients)
    ]


def test_who_is_held_out_is_held_out_whole(pairs: list[PreferencePair]) -> None:
    made = rows(pairs, [f"p{n % 10}" for n in range(40)])
    taught, held = hold_out(made, 0.2, seed=0)
    owners = [{row.pair.patient for row in some} for some in (taught, held)]
    assert len(owners[1]) == 2 and len(held) == 8 and not owners[0] & owners[1]
    assert [row.pair.id for row in taught] == sorted((row.pair.id for row in taught), key=int)
    assert hold_out(made, 0.2, seed=0) == (taught, held)
    assert any(hold_out(made, 0.2, seed=seed) != (taught, held) for seed in range(1, 5))
    assert hold_out(made, 0, seed=0) == (made, [])


def test_a_share_of_few_patients_is_one_and_never_all(pairs: list[PreferencePair]) -> None:
    made = rows(pairs, ["a", "a", "b"])
    assert {len({row.pair.patient for row in held}) for _, held in [hold_out(made, s, 0) for s in (0.01, 0.99)]} == {1}
    with pytest.raises(InputError, match=r"all pairs are of one patient.*--hold-out to 0"):
        hold_out(made[:2], 0.1, 0)


def test_where_nobody_is_named_an_image_is_one_patient(pairs: list[PreferencePair]) -> None:
    made = rows(pairs, [None] * 8)  # four images, two pairs each
    _, held = hold_out(made, 0.25, seed=1)
    assert len(held) == 2 and held[0].pair.image == held[1].pair.image


def test_when_patience_runs_out() -> None:
    def history(*losses: float) -> list[dict[str, float]]:
        return [{"eval_loss": loss} for loss in losses]

    assert not out_of_patience([], 1)
    assert not out_of_patience(history(0.7, 0.6, 0.61), 2)
    assert out_of_patience(history(0.7, 0.6, 0.61, 0.6), 2)
    assert not out_of_patience(history(0.7, 0.6, 0.61, 0.59), 2)
    assert out_of_patience(history(0.7, 0.8), 1)
