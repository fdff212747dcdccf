"""Preference training: DPO (arXiv 2305.18290) on TRL's own trainer, into a LoRA adapter.

All pairs weigh the same and both answers of a pair see the same image: weights and noised images are not handled here.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import PeftModel
from transformers import PrinterCallback, TrainerCallback
from trl.data_utils import apply_chat_template
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from indexing import load_image
from preference.card import model_card
from preference.checkpoints import Checkpoints
from preference.lora import hold_still, lora_config
from preference.pairs import PreferencePair, refuse_held_back
from preference.settings import Settings
from rag import TransformersMLLM
from titrate.errors import InputError
from titrate.files import hash_json

_CHECKPOINTS_A_RUN, _MOST_STEPS_BETWEEN = 10, 100


@dataclass(frozen=True)
class TrainingReport:
    """What training did.

    Attributes
    ----------
    adapter
        The adapter's folder.
    pairs
        How many it was trained on.
    losses
        DPO loss of each step, before the step's update; log 2 at the first.
    margins
        Mean reward margin of each step: β times how much more likely than at the start the chosen answer has become
        against the rejected one, in nats.
    """

    adapter: Path
    pairs: int
    losses: tuple[float, ...]
    margins: tuple[float, ...]


def train_adapter(
    pairs: Sequence[PreferencePair],
    mllm: str,
    out: Path,
    *,
    epochs: float = Settings.epochs,
    learning_rate: float = Settings.learning_rate,
    beta: float = Settings.beta,
    seed: int = Settings.seed,
    batch_size: int = Settings.batch_size,
    max_steps: int | None = Settings.max_steps,
    device: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> TrainingReport:
    """Train a LoRA adapter on preference pairs.

    Interrupted, the same call goes on from the last checkpoint, which stays inside ``out`` until the adapter is whole.

    Parameters
    ----------
    pairs
        At least one; images are read as they are needed.
    mllm, device
        As for `rag.TransformersMLLM.open`.
    out
        The adapter's folder: weights and settings in PEFT's format, and a model card.
    epochs, learning_rate, beta, seed, batch_size, max_steps
        See `Settings`.
    progress
        Told the steps done and the number of steps.

    Raises
    ------
    InputError
        If the model cannot be loaded, a pair or a setting is unsound, ``out`` holds an adapter already or the
        checkpoints of another run, or cannot be written to.
    """
    settings = Settings(epochs, learning_rate, beta, seed, batch_size, max_steps)
    _check(pairs)
    checkpoints = Checkpoints(out)
    checkpoints.refuse_finished()
    model = TransformersMLLM.open(mllm, device=device)
    rows = [_row(pair, model) for pair in pairs]
    identity = {"mllm": model.fingerprint, "pairs": hash_json(rows), "settings": asdict(settings)}
    with checkpoints.of_run(identity) as resume_from, _without_renaming_notices():
        total = settings.steps(len(pairs))
        trainer = _trainer(model, rows, settings, total, checkpoints.folder)
        if progress is not None:
            trainer.add_callback(_Progress(progress))
        trainer.train(resume_from_checkpoint=None if resume_from is None else str(resume_from))
        steps = [entry for entry in trainer.state.log_history if "rewards/margins" in entry]
        report = TrainingReport(
            adapter=out,
            pairs=len(pairs),
            losses=tuple(float(entry["loss"]) for entry in steps),
            margins=tuple(float(entry["rewards/margins"]) for entry in steps),
        )
        card = model_card(pairs, mllm, model.fingerprint, asdict(settings), report.losses, report.margins)
        trained: PeftModel = trainer.accelerator.unwrap_model(trainer.model)
        checkpoints.finish(lambda folder: trained.save_pretrained(str(folder), save_embedding_layers=False), card)
    return report


@contextmanager
def _without_renaming_notices() -> Iterator[None]:
    """Hide what transformers says at every step about a property that TRL and PEFT still ask for by its old name."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`(is_)?gradient_checkpointing` is deprecated", FutureWarning)
        yield


class _Trainer(DPOTrainer):
    """TRL's trainer, but it neither reports its use to anyone nor writes a model card of its own."""

    def _send_telemetry(self) -> None:
        pass

    def create_model_card(self, *_: Any, **__: Any) -> None:
        pass


class _Progress(TrainerCallback):
    """Passes on the number of steps done."""

    def __init__(self, progress: Callable[[int, int], None]) -> None:
        self._progress = progress

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._progress(state.global_step, state.max_steps)


def _check(pairs: Sequence[PreferencePair]) -> None:
    """Name a bad pair before anything is loaded or written; pairs need not have come from a file."""
    if not pairs:
        raise InputError("there are no preference pairs to train on; make some with `titrate mine`")
    for pair in pairs:
        refuse_held_back(pair.split, f"pair {pair.id}")
        if not pair.chosen.strip() or not pair.rejected.strip() or pair.chosen.strip() == pair.rejected.strip():
            raise InputError(f"pair {pair.id}: chosen and rejected must be two different answers, neither empty")
        if not pair.image.is_file():
            raise InputError(f"pair {pair.id}: image {pair.image} does not exist; check the path and the root")


def _row(pair: PreferencePair, model: TransformersMLLM) -> dict[str, str]:
    """A pair as the model reads it: the prompt as `ask` renders it, the answers up to the end of the turn."""
    turn: dict[str, Any] = {
        "prompt": [{"role": "user", "content": [{"type": "text", "text": "?"}]}],
        "chosen": [{"role": "assistant", "content": [{"type": "text", "text": pair.chosen}]}],
        "rejected": [{"role": "assistant", "content": [{"type": "text", "text": pair.rejected}]}],
    }
    answers = apply_chat_template(turn, model.processor)
    texts = {"prompt": model.render(pair.prompt), "chosen": answers["chosen"], "rejected": answers["rejected"]}
    return {**texts, "image": str(pair.image)}


def _load_images(batch: dict[str, list[str]]) -> dict[str, list[Any]]:
    """Read images when they are needed, and exactly as `ask` reads them."""
    texts: dict[str, list[Any]] = {name: batch[name] for name in ("prompt", "chosen", "rejected")}
    return {**texts, "images": [[load_image(Path(image))] for image in batch["image"]]}


def _trainer(
    model: TransformersMLLM, rows: list[dict[str, str]], settings: Settings, total: int, folder: Path
) -> DPOTrainer:
    on_cpu = model.model.device.type == "cpu"
    peft_config = lora_config(model.model)
    hold_still(model.model)
    arguments = DPOConfig(
        output_dir=str(folder),
        max_steps=total,
        learning_rate=settings.learning_rate,
        beta=settings.beta,
        seed=settings.seed,
        per_device_train_batch_size=settings.batch_size,
        use_cpu=on_cpu,
        bf16=not on_cpu and model.model.dtype == torch.bfloat16,
        dataloader_pin_memory=not on_cpu,
        gradient_checkpointing=False,
        max_length=None,  # any limit could cut the image or the answer
        remove_unused_columns=False,  # the images come into being as they are read
        logging_steps=1,
        save_steps=max(1, min(total // _CHECKPOINTS_A_RUN, _MOST_STEPS_BETWEEN)),
        save_total_limit=2,  # one may have been cut short
        report_to="none",
        disable_tqdm=True,
    )
    trainer = _Trainer(
        model=model.model,
        args=arguments,
        train_dataset=Dataset.from_list(rows).with_transform(_load_images),
        processing_class=model.processor,
        peft_config=peft_config,
    )
    trainer.remove_callback(PrinterCallback)  # stdout is for answers
    return trainer
