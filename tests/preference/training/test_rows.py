"""Pairs that cannot be trained on are named, or left out, before anything is loaded or written."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from preference import Noise, PreferencePair, SkippedPair, TrainingSettings, train_adapter
from preference.training.rows import render_pair
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


@pytest.mark.parametrize("answer", ["<image>", "yes <image>", "<eos>"])
def test_an_answer_with_a_special_token_is_refused(pairs: list[PreferencePair], mllm_folder: Path, answer: str) -> None:
    mllm = TransformersMLLM.open(str(mllm_folder), device="cpu")  # whose template writes <image> for the image itself
    for bad in (replace(pairs[0], chosen=answer), replace(pairs[0], rejected=answer)):
        with pytest.raises(InputError, match="holds a special token of this model"):
            render_pair(bad, mllm)
