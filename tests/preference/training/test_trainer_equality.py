"""With one image a pair and weights of 1, training is the stock trainer's, step for step."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from indexing import load_image
from preference import PreferencePair, TrainingSettings
from preference.training.lora import keep_in_evaluation_mode, lora_config
from preference.training.rows import TrainingRow, render_pair
from preference.training.train import _without_renaming_notices, make_trainer
from rag import TransformersMLLM
from tests.rag.architectures import write_model

STEPS = 8
LOSSES: dict[str, tuple[tuple[tuple[str, float], ...], float]] = {
    "ipo": ((("ipo", 1.0),), 0.0),
    "hinge": ((("hinge", 0.5),), 0.0),
    "robust": ((("robust", 1.0),), 0.1),
    "with sft": ((("sigmoid", 1.0), ("sft", 0.3)), 0.0),
}


@pytest.fixture(scope="module")
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a small model of the architecture asked for."""
    return write_model(request.param, tmp_path_factory.mktemp(request.param))


def answers(pairs: Sequence[PreferencePair]) -> list[PreferencePair]:
    """Pairs whose answers have several lengths."""
    texts = [("yes", "no"), ("yes, it is", "no"), ("no", "yes"), ("not at all", "it is large")]
    return [replace(pair, chosen=a, rejected=b) for pair, (a, b) in zip(pairs, texts, strict=True)]


def settings(**changes: Any) -> TrainingSettings:
    return TrainingSettings(**{"max_steps": STEPS, "epochs": 99.0, "batch_size": 3, "learning_rate": 1e-3, **changes})


def stock(folder: Path, pairs: Sequence[PreferencePair], chosen: TrainingSettings, out: Path) -> list[float]:
    """Losses of TRL's own trainer, on images and texts as our rows hold them."""
    model = TransformersMLLM.open(str(folder), device="cpu")
    rows = [render_pair(pair, model) for pair in pairs]

    def load(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        return {**batch, "images": [[load_image(Path(image))] for image in batch["images"]]}

    texts = [{"prompt": row.prompt, "chosen": row.chosen, "rejected": row.rejected} for row in rows]
    dataset = Dataset.from_list(
        [{**text, "images": str(row.pair.image)} for text, row in zip(texts, rows, strict=True)]
    )
    peft_config = None if chosen.full else lora_config(model.model)
    keep_in_evaluation_mode(model.model)
    trainer = DPOTrainer(
        model=model.model,
        args=DPOConfig(
            output_dir=str(out),
            max_steps=chosen.max_steps or -1,
            learning_rate=chosen.rate,
            per_device_train_batch_size=chosen.batch_size,
            gradient_accumulation_steps=chosen.accumulate,
            beta=chosen.beta,
            loss_type=[name for name, _ in chosen.losses],
            loss_weights=[factor for _, factor in chosen.losses],
            label_smoothing=chosen.label_smoothing,
            seed=chosen.seed,
            use_cpu=True,
            bf16=False,
            dataloader_pin_memory=False,
            gradient_checkpointing=False,
            max_length=None,
            remove_unused_columns=False,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=dataset.with_transform(load),
        processing_class=model.processor,
        peft_config=peft_config,
    )
    trainer.train()
    return steps(trainer)


def ours(folder: Path, pairs: Sequence[PreferencePair], chosen: TrainingSettings, out: Path) -> list[float]:
    model = TransformersMLLM.open(str(folder), device="cpu")
    rows: list[TrainingRow] = [render_pair(pair, model) for pair in pairs]
    reference = TransformersMLLM.open(str(folder), device="cpu").model if chosen.full else None
    trainer = make_trainer(model, rows, [], chosen, out, reference=reference)
    trainer.train()
    return steps(trainer)


def steps(trainer: DPOTrainer) -> list[float]:
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


@_without_renaming_notices()
@pytest.mark.parametrize("full", [False, True], ids=["lora", "full"])
@pytest.mark.parametrize("folder", ["llava", "qwen2_5_vl", "gemma3"], indirect=True)
def test_losses_are_the_stock_trainers(folder: Path, pairs: list[PreferencePair], tmp_path: Path, full: bool) -> None:
    chosen = settings(full=full)
    expected = stock(folder, answers(pairs), chosen, tmp_path / "stock")
    found = ours(folder, answers(pairs), chosen, tmp_path / "ours")
    assert len(found) == STEPS
    assert found == pytest.approx(expected, abs=1e-6)
    assert abs(expected[-1] - expected[0]) > 1e-3  # it did learn


@_without_renaming_notices()
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("folder", ["llava"], indirect=True)
def test_every_kind_of_loss_is_the_stock_trainers(
    folder: Path, pairs: list[PreferencePair], tmp_path: Path, name: str
) -> None:
    losses, smoothing = LOSSES[name]
    chosen = settings(max_steps=4, losses=losses, label_smoothing=smoothing)
    expected = stock(folder, answers(pairs), chosen, tmp_path / "stock")
    found = ours(folder, answers(pairs), chosen, tmp_path / "ours")
    # The reference is asked once a pair, in a batch padded otherwise; IPO's losses here are tens, of seven digits.
    assert found == pytest.approx(expected, abs=1e-6, rel=1e-6)


@_without_renaming_notices()
@pytest.mark.parametrize("folder", ["llava"], indirect=True)
def test_eight_batches_of_one_are_one_batch_of_eight(folder: Path, pairs: list[PreferencePair], tmp_path: Path) -> None:
    many = [
        replace(pair, id=f"{pair.id}/{copy}", weight=1 + copy / 2, prompt=f"{pair.prompt} {copy}")
        for copy in range(2)
        for pair in answers(pairs)
    ]
    for few in (many, many[:5]):  # a whole step, and steps of five that are four and one
        found = [
            ours(
                folder,
                few,
                settings(max_steps=2, losses=(("sigmoid", 1.0), ("sft", 0.5)), batch_size=size, accumulate=8 // size),
                tmp_path / f"{len(few)}-{size}",
            )
            for size in (8, 1, 4)
        ]
        assert found[1] == pytest.approx(found[0], rel=2e-5)
        assert found[2] == pytest.approx(found[0], rel=2e-5)
