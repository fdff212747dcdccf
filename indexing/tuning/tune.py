"""Fine-tuning an open_clip encoder on an archive's own pairs, as MMed-RAG (arXiv 2410.13085) does first."""

import math
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_

from indexing.building.reader import CorpusOptions, Progress
from indexing.encoder import Encoder
from indexing.encoder_files import check_encoder_files, is_transformers
from indexing.encoders.open_clip_towers import OpenClipTowers
from indexing.folder.skipped import SkippedLog
from indexing.tuning.adapters import Adapters
from indexing.tuning.batches import Batch, Batches
from indexing.tuning.card import CARD, card
from indexing.tuning.checkpoints import Checkpoints
from indexing.tuning.loss import contrastive_loss, same_reports
from indexing.tuning.pairs import Pair, hold_out, read_archive
from indexing.tuning.recall import HeldOut, Recall
from indexing.tuning.result import TuningResult
from indexing.tuning.settings import TuningSettings
from indexing.tuning.state import RunState, copied, make_optimiser, take, trained
from indexing.tuning.write import write_encoder
from titrate import InputError, TitrateError, write_atomic

_MOST_STEPS_BETWEEN = 100
_WARM_UP = 0.1
_LARGEST_GRADIENT = 1.0
_LARGEST_SCALE = math.log(100)
"""As in open_clip's training."""


def tune_encoder(
    corpus: Path,
    encoder: str,
    out: Path,
    settings: TuningSettings | None = None,
    options: CorpusOptions | None = None,
    *,
    device: str | None = None,
    reading: Progress | None = None,
    progress: Progress | None = None,
) -> TuningResult:
    """Train an encoder on the pairs of the ``train`` split, and keep the weights that find most held-out reports.

    If it is interrupted, the same call goes on from the last checkpoint; checkpoints stay inside ``out`` until the
    encoder is whole. The model is in evaluation mode throughout: what is trained is what embeds, and batch norms keep
    their statistics.

    Parameters
    ----------
    corpus
        See `open_corpus`.
    encoder, device
        As for `Encoder.open`; one that open_clip runs.
    out
        The folder to write: ``local-dir:OUT`` opens it. Beside it, ``OUT.skipped.jsonl`` lists the records that could
        not be used, if there are any.
    settings
        How to tune.
    options
        How records are read, as for `build_index`; their ``split`` must be ``train``.
    reading, progress
        Told how far reading the archive is, and then training, in steps.

    Raises
    ------
    InputError
        If the encoder is none of open_clip's or cannot be loaded, the corpus holds too little, or ``out`` holds an
        encoder or another run's checkpoints already.
    TitrateError
        If the loss becomes infinite or undefined, or a disk is full.
    """
    settings, options = settings or TuningSettings(), options or CorpusOptions()
    if options.split != "train":
        raise InputError("an encoder is tuned on split train alone: the others are for what is judged later")
    check_encoder_files(encoder)
    if is_transformers(encoder):
        raise InputError(
            f"encoder {encoder} is one of transformers, and tuning trains and writes open_clip's; take its open_clip "
            "release (hf-hub:OWNER/NAME, or NAME/WEIGHTS)"
        )
    checkpoints = Checkpoints(out)
    checkpoints.refuse_finished()
    try:
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make {out.parent}: {error.strerror}; give another folder") from error
    opened = Encoder.open(encoder, device)
    with SkippedLog(out.absolute().with_name(f"{out.absolute().name}.skipped.jsonl"), private=True) as skipped:
        archive = read_archive(corpus, options, skipped.add, reading)
    kept, held = hold_out(archive.pairs, settings.hold_out)
    held_out = HeldOut(archive, held, opened)
    towers, base = opened.towers, opened.fingerprint
    assert isinstance(towers, OpenClipTowers)
    batches = Batches(archive, kept, towers, settings)
    identity = {
        "encoder": base,
        "archive": archive.digest,
        "view": str(archive.view),
        "settings": settings.describe(),
    }
    with checkpoints.open_run(identity) as resume_from, torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        run = _Run(opened, batches, held_out, settings, checkpoints.folder, progress)
        if resume_from is not None:
            run.state.load(resume_from)
        run.to_end()
        step = run.keep_best()
        results: list[TuningResult] = []

        def save(folder: Path) -> None:
            written = write_encoder(towers, folder)
            result = TuningResult(
                folder=out,
                fingerprint=written.fingerprint,
                before=run.before,
                after=held_out.recall(written),
                step=step,
                losses=tuple(run.state.losses),
                records=len(kept),
                held_out=len(held),
                patients=_patients(kept),
                held_out_patients=_patients(held),
                held_out_reports=held_out.reports,
                other_split=archive.counts.other_split,
                skipped=archive.counts.skipped,
                problems=tuple(archive.counts.problems),
                no_pictures=archive.counts.no_pictures,
                long_reports=batches.long,
            )
            write_atomic(folder / CARD, card(result, encoder, base, settings))
            results.append(result)

        checkpoints.finish(save)
    return results[-1]


def _patients(pairs: list[Pair]) -> int:
    return len({pair.unit for pair in pairs})


class _Run:
    """Training, from wherever it stands to its end."""

    def __init__(
        self,
        encoder: Encoder,
        batches: Batches,
        held_out: HeldOut,
        settings: TuningSettings,
        folder: Path,
        progress: Progress | None,
    ) -> None:
        self._encoder, self._batches, self._held_out, self._settings = encoder, batches, held_out, settings
        self._folder, self._progress, self._towers = folder, progress, encoder.towers
        model: Any = encoder.towers.model  # type: ignore[attr-defined]
        self._model = model
        self._adapters = None if settings.full else Adapters(model)
        model.to(memory_format=torch.channels_last)  # convolutions, and those of adapters, take less time that way
        for name, parameter in model.named_parameters():
            if settings.full or name in ("logit_scale", "logit_bias"):
                parameter.requires_grad_(parameter.is_floating_point())
        self._scale_limit = max(_LARGEST_SCALE, float(model.logit_scale.max().item()))
        self._total = settings.epochs * batches.in_epoch
        self.state = RunState(model, make_optimiser(model))

    @property
    def before(self) -> Recall:
        """Of the untuned encoder."""
        return _recalls(self.state)[0]

    def to_end(self) -> None:
        """Train until the last epoch ends, or patience does."""
        between, state = min(self._batches.in_epoch, _MOST_STEPS_BETWEEN), self.state
        if not state.history:
            self._evaluate()
        if self._over():
            return
        with closing(self._batches.from_step(state.step)) as batches:
            for batch in batches:
                state.losses.append(self._train_on(batch))
                if state.step % between == 0 or state.step == self._total:
                    self._evaluate()
                    state.save(self._folder)
                if self._progress is not None:
                    self._progress(state.step, self._total)
                if state.step % between == 0 and self._over():
                    return

    def keep_best(self) -> int:
        """Leave the model with the best weights, and without adapters; returns the step that they are of."""
        best = _best(self.state)
        take(self._model, self.state.best)
        if self._adapters is not None:
            # Merging nothing would still turn -0.0 into 0.0, and the untuned encoder would have another fingerprint.
            self._adapters.merge() if best else self._adapters.drop()
        return int(self.state.history[best]["step"])

    def _over(self) -> bool:
        recalls = self.state.history
        return len(recalls) - 1 - _best(self.state) >= self._settings.patience

    def _settle(self) -> None:
        if self._adapters is not None:
            self._adapters.settle()

    def _evaluate(self) -> None:
        self._settle()
        recall = self._held_out.recall(self._encoder)
        self.state.history.append({"step": self.state.step, "recall": recall.at})
        if _best(self.state) == len(self.state.history) - 1:
            self.state.best = copied(self._model)

    def _train_on(self, batch: Batch) -> float:
        self._settle()
        model, optimiser, towers = self._model, self.state.optimiser, self._towers
        tokens = towers.tokenizer(batch.texts)  # type: ignore[attr-defined]
        same = same_reports(batch.keys, batch.images, [str(row) for row in tokens.tolist()])
        device = model.logit_scale.device
        images = functional.normalize(
            model.encode_image(batch.pixels.to(device, memory_format=torch.channels_last)), dim=-1
        )
        texts = functional.normalize(model.encode_text(tokens.to(device)), dim=-1)
        bias = getattr(model, "logit_bias", None)
        loss = contrastive_loss(images, texts, same.to(device), model.logit_scale.exp(), bias)
        if not torch.isfinite(loss):
            raise TitrateError(
                f"the loss is {loss.item()} at step {self.state.step + 1}; take a lower --learning-rate, and another "
                "folder"
            )
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        clip_grad_norm_(trained(model).values(), _LARGEST_GRADIENT)
        for group in optimiser.param_groups:
            group["lr"] = self._settings.rate * _share_of_rate(self.state.step, self._total)
        optimiser.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, self._scale_limit)
        return loss.item()


def _share_of_rate(done: int, total: int) -> float:
    """Up over the first tenth of the steps, then down along a cosine."""
    warm = max(1, round(_WARM_UP * total))
    return min((done + 1) / warm, (1 + math.cos(math.pi * done / total)) / 2)


def _recalls(state: RunState) -> list[Recall]:
    return [Recall({int(k): share for k, share in each["recall"].items()}) for each in state.history]


def _best(state: RunState) -> int:
    """The evaluation with the highest recall; of several, the first."""
    means = [recall.mean for recall in _recalls(state)]
    return means.index(max(means))
