"""The rejected half sees its own image, weights count, and losses are what their papers say."""

import json
from collections.abc import Sequence
from dataclasses import replace
from math import exp, log
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from indexing import ImageView, load_image
from preference import Noise, PreferencePair, TrainingSettings, read_pairs, train_adapter
from preference.training.collator import PairCollator
from preference.training.rows import render_pair
from preference.training.settings import PREFERENCE_LOSSES
from preference.training.train import _without_renaming_notices, make_trainer
from preference.training.trainer import PairTrainer, pair_losses
from rag import Prompt, TransformersMLLM
from tests.rag.architectures import write_model
from titrate import TitrateError


@pytest.fixture(scope="module")
def mllm(mllm_folder: Path) -> TransformersMLLM:
    return TransformersMLLM.open(str(mllm_folder), device="cpu")


def batch_of(
    pairs: Sequence[PreferencePair], model: TransformersMLLM, view: ImageView | None = None
) -> dict[str, torch.Tensor]:
    rows = [render_pair(pair, model) for pair in pairs]
    return PairCollator(rows, model, view)([{"row": n} for n in range(len(rows))])


def with_images(pairs: Sequence[PreferencePair], images: Sequence[Path]) -> list[PreferencePair]:
    """One pair with one image, one with another for the rejected answer, one with a noised one, one with both."""
    noise = Noise(strength=600, seed=3, side=48)
    return [
        pairs[0],
        replace(pairs[1], rejected_image=images[0]),
        replace(pairs[2], rejected=pairs[2].chosen, rejected_noise=noise),
        replace(pairs[3], rejected_image=images[1], rejected_noise=noise),
    ]


@pytest.mark.parametrize("architecture", ["shipped", "llava", "qwen2_5_vl", "gemma3"])
def test_each_half_sees_its_own_images(
    architecture: str, mllm: TransformersMLLM, pairs: list[PreferencePair], images: list[Path], tmp_path: Path
) -> None:
    if architecture != "shipped":
        mllm = TransformersMLLM.open(str(write_model(architecture, tmp_path)), device="cpu")
    mixed = with_images(pairs, images)
    batch = batch_of(mixed, mllm)
    shown = [pair.load_images() for pair in mixed]
    pictures = [chosen for chosen, _ in shown] + [rejected for _, rejected in shown]
    alone = [
        mllm.inputs([mllm.render(pair.prompt)], [picture]) for pair, picture in zip(mixed * 2, pictures, strict=True)
    ]
    assert torch.equal(batch["pixel_values"], torch.cat([inputs["pixel_values"] for inputs in alone]))
    for row, inputs in enumerate(alone):
        read = inputs["input_ids"][0]
        assert batch["input_ids"][row, : len(read)].tolist() == read.tolist()
        assert not batch["completion_mask"][row, : len(read)].any()
    assert not torch.equal(alone[2]["pixel_values"], alone[6]["pixel_values"])


def test_an_image_that_both_answers_share_is_prepared_once(
    mllm: TransformersMLLM, pairs: list[PreferencePair], images: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared: list[int] = []
    plain = TransformersMLLM.inputs

    def counted(model: TransformersMLLM, texts: list[str], pictures: list[Image.Image]) -> dict[str, torch.Tensor]:
        prepared.append(len(pictures))
        return plain(model, texts, pictures)

    monkeypatch.setattr(TransformersMLLM, "inputs", counted)
    both = [batch_of(pairs, mllm), batch_of([replace(pair, rejected_image=pair.image) for pair in pairs], mllm)]
    batch_of(with_images(pairs, images), mllm)
    assert prepared == [4, 4, 8]
    assert both[0].keys() == both[1].keys()
    assert all(torch.equal(value, both[1][name]) for name, value in both[0].items())


def test_images_are_decoded_as_told(mllm: TransformersMLLM, pairs: list[PreferencePair], tmp_path: Path) -> None:
    frames = [Image.new("RGB", (40, 40), (shade, 0, 0)) for shade in (0, 120, 250)]
    frames[0].save(tmp_path / "frames.tiff", save_all=True, append_images=frames[1:])
    pair = replace(pairs[0], image=tmp_path / "frames.tiff")
    last, middle = (batch_of([pair], mllm, view)["pixel_values"] for view in (ImageView(frame=2), None))
    assert torch.equal(last[0], mllm.inputs([mllm.render("?")], [frames[2]])["pixel_values"][0])
    assert last.mean() > middle.mean()


@_without_renaming_notices()
def test_a_noised_images_answer_is_scored_on_the_noised_image(
    mllm_folder: Path, pairs: list[PreferencePair], tmp_path: Path
) -> None:
    mllm = TransformersMLLM.open(str(mllm_folder), device="cpu")
    noise = Noise(strength=700, seed=1, side=64)
    copying = [replace(pair, rejected=pair.chosen, rejected_noise=noise) for pair in pairs]
    prompts = [Prompt(load_image(pair.image), pair.prompt) for pair in copying]
    noised = [Prompt(noise.apply(prompt.image), prompt.text) for prompt in prompts]
    expected = mllm.score([*prompts, *noised], [["yes", "no"]] * 8)
    batch = batch_of(copying, mllm)
    del batch["weights"], batch["row"], batch["shown"]
    batch["completion_mask"][batch["input_ids"] == mllm.processor.tokenizer.eos_token_id] = 0
    trainer = make_trainer(
        mllm, [render_pair(pair, mllm) for pair in copying], [], TrainingSettings(max_steps=1), tmp_path
    )
    found = torch.cat(trainer.compute_ref_log_probs(trainer.model, batch))  # type: ignore[no-untyped-call]
    torch.testing.assert_close(found.double(), torch.tensor([row[0] for row in expected]), atol=1e-4, rtol=0)
    assert (found[:4] - found[4:]).abs().min() > 1e-4


def first_loss(mllm_folder: Path, pairs: Sequence[PreferencePair], out: Path, **changes: Any) -> float:
    settings = TrainingSettings(**{"max_steps": 1, "hold_out": 0, "batch_size": len(pairs), **changes})
    return train_adapter(pairs, str(mllm_folder), out, settings, device="cpu").losses[0]


def test_the_first_loss_is_the_weights_mean_times_log_2(
    mllm_folder: Path, pairs: list[PreferencePair], tmp_path: Path
) -> None:
    weighed = [replace(pair, weight=weight) for pair, weight in zip(pairs, (2.0, 0.5, 1.0, 0.25), strict=True)]
    loss = first_loss(mllm_folder, weighed, tmp_path / "whole")
    assert loss == pytest.approx(3.75 / 4 * log(2), abs=1e-5)
    apart = first_loss(mllm_folder, weighed, tmp_path / "apart", batch_size=1, accumulate=4)
    assert apart == pytest.approx(loss, abs=1e-6)
    ragged = first_loss(mllm_folder, weighed, tmp_path / "ragged", batch_size=3, accumulate=2)
    assert ragged == pytest.approx(loss, abs=1e-6)
    assert first_loss(mllm_folder, pairs, tmp_path / "even") == pytest.approx(log(2), abs=1e-5)


def test_a_pair_of_weight_two_counts_as_two_pairs(
    mllm_folder: Path, pairs: list[PreferencePair], tmp_path: Path
) -> None:
    mllm = [TransformersMLLM.open(str(mllm_folder), device="cpu") for _ in range(2)]
    few = [replace(pairs[0], weight=2.0), pairs[1]]
    many = [pairs[0], replace(pairs[0], id="again"), pairs[1]]
    gradients = []
    for model, chosen in zip(mllm, (few, many), strict=True):
        rows = [render_pair(pair, model) for pair in chosen]
        with _without_renaming_notices():
            trainer = make_trainer(model, rows, [], TrainingSettings(max_steps=1, beta=1.0), tmp_path)
            weights: Any = trainer.model
            trainer.compute_loss(weights, batch_of(chosen, model)).backward()
        found = [weight.grad * len(rows) for weight in weights.parameters() if weight.grad is not None]
        gradients.append(torch.cat([grad.flatten() for grad in found]))
    assert gradients[0].abs().max() > 1e-3
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-5, rtol=1e-4)


def test_with_sft_the_chosen_answers_tokens_count_by_weight(
    mllm_folder: Path, pairs: list[PreferencePair], tmp_path: Path
) -> None:
    mllm = TransformersMLLM.open(str(mllm_folder), device="cpu")
    few = [replace(pairs[0], weight=2.0), replace(pairs[1], chosen="yes, it is there", weight=0.5)]
    rows = [render_pair(pair, mllm) for pair in few]
    settings = TrainingSettings(max_steps=1, losses=(("sigmoid", 1.0), ("sft", 0.25)))
    with _without_renaming_notices():
        trainer = make_trainer(mllm, rows, [], settings, tmp_path)
        batch = batch_of(few, mllm)
        policy: Any = trainer.model
        loss = float(trainer.compute_loss(policy, dict(batch)).detach())
        del batch["weights"], batch["row"], batch["shown"]
        chosen, _ = trainer.compute_ref_log_probs(policy, batch)  # type: ignore[no-untyped-call]
    tokens = int(batch["completion_mask"][:2].sum())
    expected = 1.25 * log(2) - 0.25 * float(2 * chosen[0] + 0.5 * chosen[1]) / tokens
    assert loss == pytest.approx(expected, abs=1e-4)


def test_losses_by_hand() -> None:
    # Log-ratios of 1 and -2 nats for the first pair, of 0 and 0 for the second; answers of 2 and 4 tokens.
    chosen, rejected = torch.tensor([1.0, 0.0]), torch.tensor([-2.0, 0.0])
    lengths = (torch.tensor([2, 2]), torch.tensor([4, 4]))

    def found(name: str, smoothing: float = 0.0) -> list[float]:
        return pair_losses(name, chosen, rejected, lengths, 0.5, smoothing).tolist()

    down, up = log(1 + exp(-1.5)), log(1 + exp(1.5))
    assert found("sigmoid") == pytest.approx([down, log(2)])
    assert found("hinge") == pytest.approx([0.0, 1.0])
    assert found("ipo") == pytest.approx([0.0, 1.0])  # 1/2 + 2/4 is the 1/(2 * 0.5) that it aims at
    assert found("robust", 0.1) == pytest.approx([(0.9 * down - 0.1 * up) / 0.8, log(2)])
    assert {"sigmoid", "hinge", "ipo", "robust"} == set(PREFERENCE_LOSSES)


def test_a_loss_that_is_no_number_ends_training(mllm_folder: Path, pairs: list[PreferencePair], tmp_path: Path) -> None:
    settings = TrainingSettings(learning_rate=1e30, hold_out=0, batch_size=2)
    with pytest.raises(TitrateError, match=r"no longer a number after step .*smaller --learning-rate"):
        train_adapter(pairs, str(mllm_folder), tmp_path / "adapter", settings, device="cpu")
    assert not (tmp_path / "adapter" / "adapter_config.json").exists()


def test_released_pairs_are_trained_on_as_they_are(mllm_folder: Path, images: list[Path], tmp_path: Path) -> None:
    (tmp_path / "eye.jpg").write_bytes(images[0].read_bytes())
    released = [
        {
            "id": "same",
            "image": "eye.jpg",
            "conversations": [{"from": "human", "value": "<image>\nIs it?"}, {"from": "gpt", "value": "yes"}],
            "rejected_conversations": [{"from": "human", "value": "<image>\nIs it?"}, {"from": "gpt", "value": answer}],
            "rejected_noised": int(answer == "yes"),
        }
        for answer in ("no", "yes")
    ]
    (tmp_path / "released.json").write_text(json.dumps(released))
    pairs = read_pairs(tmp_path / "released.json")
    assert [pair.domain for pair in pairs] == [None, None]
    settings = TrainingSettings(max_steps=2, hold_out=0)
    report = train_adapter(pairs, str(mllm_folder), tmp_path / "adapter", settings, device="cpu")
    assert report.losses[1] < report.losses[0]
    card = (tmp_path / "adapter" / "README.md").read_text()
    assert "| copying | unknown | 1 |" in card and "given to another image: 1" in card


@_without_renaming_notices()
@pytest.mark.parametrize(("noised", "count"), [(False, 4), (True, 8)])
def test_an_image_is_encoded_once_a_batch_and_the_reference_asked_once_a_pair(
    mllm_folder: Path,
    pairs: list[PreferencePair],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    noised: bool,
    count: int,
) -> None:
    # For both answers, and for the model before and after, unless the rejected answer has an image of its own.
    mllm = TransformersMLLM.open(str(mllm_folder), device="cpu")
    noise = Noise(strength=700, seed=1, side=64) if noised else None
    rows = [render_pair(replace(pair, rejected_noise=noise), mllm) for pair in pairs[:4]]
    trainer = make_trainer(mllm, rows, [], TrainingSettings(epochs=2, batch_size=4), tmp_path)
    encoded: list[int] = []
    tower = mllm.base.model.vision_tower
    tower.register_forward_pre_hook(
        lambda _, args, words: encoded.append(len((*args, *words.values())[0])), with_kwargs=True
    )
    asked: list[int] = []
    ask = PairTrainer.compute_ref_log_probs

    def counted(self: PairTrainer, model: Any, inputs: dict[str, torch.Tensor]) -> Any:
        asked.append(len(inputs["input_ids"]))
        return ask(self, model, inputs)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(PairTrainer, "compute_ref_log_probs", counted)
    trainer.train()
    assert encoded == [count] * 2  # two epochs
    assert asked == [8]
