"""Preference training: DPO (arXiv 2305.18290) on TRL's trainer, into a LoRA adapter or all of the model's weights."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback, TrainerState
from trl.trainer.dpo_config import DPOConfig

from indexing import Checkpoints, ImageView
from preference.pairs import PreferencePair
from preference.training import processes
from preference.training.card import CARD, ModelCard
from preference.training.collator import PairCollator
from preference.training.full_model import refuse_taken, write_full_model
from preference.training.held_out import StopEarly, hold_out, out_of_patience
from preference.training.lora import keep_in_evaluation_mode, lora_config
from preference.training.result import TrainingResult, read_result
from preference.training.rows import Skip, TrainingRow, check_images, render_pairs
from preference.training.settings import TrainingSettings
from preference.training.trainer import PairTrainer
from rag import LoadingOptions, TrainedImage, TransformersMLLM, read_trained_on, write_base_weights, write_trained_on
from titrate import InputError, hash_json, write_atomic

_CHECKPOINTS_A_RUN, _MOST_STEPS_BETWEEN = 10, 100


def train_adapter(
    pairs: Sequence[PreferencePair],
    mllm: str,
    out: Path,
    settings: TrainingSettings | None = None,
    *,
    device: str | None = None,
    loading: LoadingOptions | None = None,
    view: ImageView | None = None,
    merge: Path | None = None,
    skip: Skip | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> TrainingResult:
    """Train a LoRA adapter, or the whole model, on preference pairs.

    If training is interrupted, the same call resumes it from the last checkpoint; checkpoints stay inside ``out`` until
    the result is whole. The processes that `accelerate launch` starts train together; the first of them writes.

    Parameters
    ----------
    pairs
        At least one. Every image is read once before training begins, and again for every batch that it is in.
    mllm, device, loading
        As for `rag.TransformersMLLM.open`. On weights that are quantised while they are loaded, an adapter is trained
        (QLoRA, arXiv 2305.14314).
    out
        The folder to write the adapter to: weights and settings in PEFT's format, and a model card. With
        ``settings.full`` the whole model is written there, as `rag.TransformersMLLM.open` opens it.
    settings
        How to train; the defaults of `TrainingSettings` where None.
    view
        How images are decoded; by default as the files say. It should be the view that the index was built with, so
        that training sees images as answering does.
    merge
        A folder to which a whole model is written as well, with the adapter merged into its weights.
    skip
        Called with each pair that cannot be trained on, which is then left out. By default the first such pair is an
        error.
    progress
        Called after each step with the number of steps done and the number of all steps.

    Raises
    ------
    InputError
        If the model cannot be loaded, a pair cannot be trained on, ``out`` holds a finished adapter or model or the
        checkpoints of another run, ``merge`` is not empty, or one of the two cannot be written to.
    TitrateError
        If the loss becomes infinite or undefined.
    """
    settings = settings or TrainingSettings()
    checkpoints = Checkpoints(out, writes=processes.is_main_process())
    checkpoints.refuse_finished()
    if merge is not None:
        if settings.full:
            raise InputError("all weights are trained, and there is nothing to merge; leave out --merge or --full")
        refuse_taken(merge)
        places = merge.resolve(), out.resolve()
        if places[0] == places[1] or places[0] in places[1].parents or places[1] in places[0].parents:
            raise InputError(f"{out} and {merge} are one place, or one lies in the other; give --merge one of its own")
    loading = loading or LoadingOptions()
    if loading.quantize is not None and (settings.full or merge is not None):
        option, why = ("--full", "be trained") if settings.full else ("--merge", "take an adapter in")
        raise InputError(f"weights that are quantised cannot {why}; leave out {option} or --quantize-model")
    checked = check_images(pairs, view, skip)
    model = _open(mllm, device, settings, loading)
    if len({parameter.device for parameter in model.model.parameters()}) > 1:
        raise InputError("training needs all of the model on one device; name one with --device-map, or leave it out")
    if model.turn.thinks:
        raise InputError(
            f"model {mllm} thinks before it answers, and training changes its thoughts: what is trained would not be "
            "what is scored; train a variant that answers at once (often called Instruct)"
        )
    if not model.ways.causal:
        raise InputError(
            "this model's tokens see later ones: an answer would be trained while reading itself; use another"
        )
    rows = render_pairs(checked, model, skip)
    train_rows, held_out_rows = hold_out(rows, settings.hold_out, settings.seed)
    identity = {
        "mllm": model.fingerprint,
        "pairs": hash_json([row.identity() for row in rows]),
        "view": str(view or ImageView()),
        "settings": settings.describe(),
        "processes": processes.count(),
    }
    with checkpoints.open_run(identity) as resume_from, _without_renaming_notices():
        reference = _open(mllm, device, settings, loading).model if settings.full else None
        trainer = make_trainer(model, train_rows, held_out_rows, settings, checkpoints.folder, view, reference)
        if progress is not None:
            trainer.add_callback(_Progress(progress))
        step = _run_to_end(trainer, settings, checkpoints, resume_from)
        result = read_result(out, len(train_rows), len(held_out_rows), trainer.state.log_history, step)
        if processes.is_main_process():
            card = ModelCard([row.pair for row in rows], mllm, model.fingerprint, settings, result)
            trained = trainer.accelerator.unwrap_model(trainer.model)
            seen = _seen(rows, model, view)
            checkpoints.finish(lambda folder: _save(trained, model, folder, card, merge, seen))
        trainer.accelerator.wait_for_everyone()
    return result


def _open(mllm: str, device: str | None, settings: TrainingSettings, loading: LoadingOptions) -> TransformersMLLM:
    """Open the model; to train all of its weights, in float32, where small steps are not rounded away."""
    numbers = "float32" if settings.full else None
    return TransformersMLLM.open(mllm, device=processes.own_device(device), dtype=numbers, loading=loading)


def make_trainer(
    model: TransformersMLLM,
    train_rows: Sequence[TrainingRow],
    held_out_rows: Sequence[TrainingRow],
    settings: TrainingSettings,
    folder: Path,
    view: ImageView | None = None,
    reference: Any = None,
) -> PairTrainer:
    """Set up the trainer.

    Parameters
    ----------
    model
        The model to train.
    train_rows, held_out_rows
        The rows to train on, and those to evaluate on, which may be none.
    settings
        How to train.
    folder
        The folder to write checkpoints to.
    view
        How images are decoded; by default as the files say.
    reference
        With ``settings.full``, a second copy of the model, which is not trained. An adapter needs none: without it, the
        model is as it was.
    """
    total = settings.steps(len(train_rows), processes.count())
    on_gpu = model.model.device.type == "cuda"
    between = max(1, min(total // _CHECKPOINTS_A_RUN, _MOST_STEPS_BETWEEN))
    peft_config = None if settings.full else lora_config(model.model)
    keep_in_evaluation_mode(model.model)
    arguments = DPOConfig(
        output_dir=str(folder),
        max_steps=total,
        learning_rate=settings.rate,
        beta=settings.beta,
        loss_type=[name for name, _ in settings.losses],
        loss_weights=[factor for _, factor in settings.losses],
        label_smoothing=settings.label_smoothing,
        router_aux_loss_coef=0.0,  # nothing is added to the loss of the pairs
        seed=settings.seed,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=settings.batch_size,
        gradient_accumulation_steps=settings.accumulate,
        use_cpu=model.model.device.type == "cpu",
        bf16=on_gpu and torch.cuda.is_bf16_supported(),
        dataloader_pin_memory=False,  # batches are made on the model's own device
        gradient_checkpointing=False,
        max_length=None,  # any limit could cut the image or the answer
        remove_unused_columns=False,
        logging_steps=1,
        logging_nan_inf_filter=False,
        eval_strategy="steps" if held_out_rows else "no",
        eval_steps=between,
        eval_on_start=bool(held_out_rows),
        metric_for_best_model="loss" if held_out_rows else None,
        greater_is_better=False if held_out_rows else None,
        save_steps=between,
        save_total_limit=2,  # the newest may have been cut short
        report_to="none",
        disable_tqdm=True,
    )
    trainer = PairTrainer(
        model=model.model,
        ref_model=reference,
        args=arguments,
        train_dataset=_dataset(train_rows),
        eval_dataset=_dataset(held_out_rows, first=len(train_rows)) if held_out_rows else None,
        data_collator=PairCollator([*train_rows, *held_out_rows], model, view),
        processing_class=model.processor,
        peft_config=peft_config,
    )
    trainer.remove_callback(PrinterCallback)  # stdout is for answers
    if held_out_rows:
        trainer.add_callback(StopEarly(settings.patience))
    return trainer


def _dataset(rows: Sequence[TrainingRow], first: int = 0) -> Dataset:
    """A data set of the rows' numbers; TRL takes it for one of images because it has a column of that name."""
    numbers = list(range(first, first + len(rows)))
    return Dataset.from_dict({"row": numbers, "image": [str(row.pair.image) for row in rows]})


def _run_to_end(
    trainer: PairTrainer, settings: TrainingSettings, checkpoints: Checkpoints, resume_from: Path | None
) -> int:
    """Train to the end and go back to the best weights; returns the step after which the model had them."""
    state = None if resume_from is None else TrainerState.load_from_json(str(resume_from / "trainer_state.json"))
    if state is not None and (
        state.global_step >= state.max_steps or out_of_patience(state.log_history, settings.patience)
    ):
        trainer.state = state  # the run had ended already; the trainer would do one step more
    else:
        if state is not None:
            trainer.args.eval_on_start = False  # the interrupted run did that
        trainer.train(resume_from_checkpoint=None if resume_from is None else str(resume_from))
    best = trainer.state.best_global_step or trainer.state.global_step
    if best != trainer.state.global_step or trainer.state is state:
        trainer.take(checkpoints.folder_of_step(best))
    return best


def _seen(rows: Sequence[TrainingRow], model: TransformersMLLM, view: ImageView | None) -> list[TrainedImage]:
    """What the model has seen: the images of all pairs, and what it had been trained on before."""
    shown = view or ImageView()
    images = {(row.pair.image, row.pair.patient, row.pair.study) for row in rows}
    images |= {
        (row.pair.rejected_image, None, None) for row in rows if row.pair.rejected_image not in (None, row.pair.image)
    }
    before = [read_trained_on(folder) or [] for folder in model.folders.values()]
    own = [TrainedImage.of(image, shown, patient, study) for image, patient, study in images if image is not None]
    return [*own, *chain.from_iterable(before)]


def _save(
    trained: Any,
    base: TransformersMLLM,
    folder: Path,
    card: ModelCard,
    merge: Path | None,
    seen: Sequence[TrainedImage],
) -> None:
    if card.settings.full:
        write_full_model(trained, base.processor, folder, card.text("model"), seen)
        return
    trained.save_pretrained(str(folder), save_embedding_layers=False)
    write_atomic(folder / CARD, card.text("adapter"))
    write_base_weights(folder, base.folders["the model"], base.loading.quantize)
    write_trained_on(folder, seen)
    if merge is not None:
        write_full_model(trained.merge_and_unload(), base.processor, merge, card.text("merged model"), seen)


class _Progress(TrainerCallback):
    """Passes the number of steps done to the caller."""

    def __init__(self, progress: Callable[[int, int], None]) -> None:
        self._progress = progress

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._progress(state.global_step, state.max_steps)


@contextmanager
def _without_renaming_notices() -> Iterator[None]:
    """Hide the warning, given at every step, that TRL and PEFT use a property of transformers by its old name."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`(is_)?gradient_checkpointing` is deprecated", FutureWarning)
        yield
