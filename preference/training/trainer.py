"""TRL's DPO trainer, for pairs whose answers were given to an image each and that do not all weigh the same.

The loss of a pair of weight w is w times its loss; a step's loss is the mean over the step's pairs, however they are
spread over batches and processes. With weights of 1 and one image a pair, that is the stock trainer's loss (but for its
mean of batch means where accumulated batches differ in size).

Shapes: n pairs in a batch, whose 2n answers are n chosen and then n rejected ones; t tokens.
"""

import math
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch.nn.functional import logsigmoid
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.utils import add_fused_lm_head

from preference.training.collator import Batch
from preference.training.likelihood import fused_head_agrees, token_log_probabilities
from rag import SharedImages
from titrate import TitrateError, one_line_errors

_ABOUT_PAIRS = ("weights", "row", "shown", "completion_mask")
"""What a batch holds that the model does not read."""


class PairTrainer(DPOTrainer):
    """TRL's trainer with weights; it neither reports its use to anyone nor writes a model card of its own."""

    loss_is_scaled_for_ga = True

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self._references: dict[int, torch.Tensor] = {}
        policy: Any = self.accelerator.unwrap_model(self.model)
        self._base: Any = policy.get_base_model() if isinstance(policy, PeftModel) else policy
        models: list[Any] = [self._base, self.ref_model]
        for model in models:
            if model is not None:  # log-probabilities are all that is read here; the rest would cost time and memory
                add_fused_lm_head(model)
        batch = parts["data_collator"]([{"row": 0}])
        read = {name: value for name, value in batch.items() if name not in _ABOUT_PAIRS}
        labels = read["input_ids"].masked_fill(batch["completion_mask"] == 0, -100)
        self._base.eval()
        self._fused = fused_head_agrees(self._base, read, labels)

    def compute_loss(
        self, model: Any, inputs: Batch, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """The batch's part of the step's loss."""
        assert not return_outputs, "metrics of ours need no logits"
        weights = inputs["weights"]  # [n]
        mask = inputs["completion_mask"]  # [2n, t]
        read = {name: value for name, value in inputs.items() if name not in _ABOUT_PAIRS}
        if self.ref_model is None:  # an adapter leaves the vision tower as it is, for the model before and after
            self._base.eval()  # as `preference.training.lora.keep_in_evaluation_mode` does once the model is called
            with torch.no_grad():
                read = SharedImages(self._base).share(read, inputs["shown"].tolist())
        # Before the policy, whose activations would lie in memory meanwhile.
        known_chosen, known_rejected = self._reference(inputs["row"].tolist(), {**read, "completion_mask": mask})
        labels = read["input_ids"].masked_fill(mask == 0, -100)  # [2n, t]
        tokens = token_log_probabilities(model, read, labels, fused=self._fused)  # [2n, t - 1]
        chosen, rejected = tokens.sum(1).chunk(2)  # [n] each
        chosen, rejected = chosen - known_chosen, rejected - known_rejected
        lengths = mask.sum(1).chunk(2)  # [n] each
        said = mask[:, 1:].bool().chunk(2)[0]  # tokens of chosen answers, [n, t - 1]
        of_pairs, of_tokens = self._shares(len(weights), int(said.sum()), num_items_in_batch)
        loss: torch.Tensor = tokens.new_zeros(())
        for name, factor in zip(self.loss_types, self.loss_weights, strict=True):
            if name == "sft":
                likelihood = (weights[:, None] * tokens.chunk(2)[0])[said].mean()
                loss = loss - likelihood * (factor * of_tokens)
            else:
                losses = pair_losses(name, chosen, rejected, lengths, self.beta, self.label_smoothing)  # [n]
                loss = loss + (weights * losses).mean() * (factor * of_pairs)
        self._note(self.beta * (chosen - rejected).detach())
        return loss

    def _reference(self, rows: list[int], read: Batch) -> tuple[torch.Tensor, ...]:
        """What the model as it was says of the chosen and the rejected answers, each [n]; asked once a pair.

        Several processes ask anew every time: a model whose weights are spread over them must be asked by all at once.
        """
        if self.accelerator.num_processes > 1 or not all(row in self._references for row in rows):
            found = (
                self.compute_ref_log_probs(self.ref_model or self.model, read)  # type: ignore[no-untyped-call]
                if self._fused
                else self._plain_reference(read)
            )
            self._references |= zip(rows, torch.stack(found, 1), strict=True)
        return torch.stack([self._references[row] for row in rows]).unbind(1)

    @torch.no_grad()
    def _plain_reference(self, read: Batch) -> tuple[torch.Tensor, ...]:
        """As TRL's `compute_ref_log_probs`, from the model's own logits."""
        shown = {name: value for name, value in read.items() if name != "completion_mask"}
        labels = read["input_ids"].masked_fill(read["completion_mask"] == 0, -100)  # [2n, t]
        policy: Any = self.accelerator.unwrap_model(self.model)
        without = policy.disable_adapter() if self.ref_model is None else nullcontext()
        with without, self.accelerator.autocast():
            return token_log_probabilities(self.ref_model or self.model, shown, labels, fused=False).sum(1).chunk(2)

    def _get_num_items_in_batch(self, batch_samples: list[Batch], device: torch.device) -> torch.Tensor:
        """Pairs and chosen tokens of a whole step, over all its batches and processes."""
        pairs = sum(len(batch["weights"]) for batch in batch_samples)
        tokens = sum(int(batch["completion_mask"].chunk(2)[0].sum()) for batch in batch_samples)
        own = torch.tensor([[pairs, tokens]], device=device)  # [1, 2]
        total: torch.Tensor = self.accelerator.gather(own).sum(0)  # [processes, 2] -> [2]
        return total

    def _shares(self, pairs: int, tokens: int, step: torch.Tensor | None) -> tuple[float, float]:
        """What turns a batch's means into its parts of the step's; gradients are averaged over processes."""
        if step is None:
            return 1.0, 1.0
        all_pairs, all_tokens = step.tolist()
        processes = self.accelerator.num_processes
        return pairs * processes / all_pairs, tokens * processes / all_tokens

    def _note(self, margins: torch.Tensor) -> None:
        """Keep each pair's reward margin, so that what is logged is a mean over pairs."""
        assert self.model is not None
        mode = "train" if self.model.training else "eval"
        gather = self.accelerator.gather if mode == "train" else self.accelerator.gather_for_metrics
        found = gather(margins).tolist()
        self._metrics[mode]["rewards/margins"] += found
        self._metrics[mode]["rewards/accuracies"] += [float(margin > 0) for margin in found]

    def take(self, checkpoint: Path) -> None:
        """Go back to a checkpoint's weights."""
        self._load_from_checkpoint(str(checkpoint))

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Note the figures; raises where training has come to nothing."""
        super().log(logs, start_time)
        if not all(math.isfinite(logs.get(name, 0.0)) for name in ("loss", "eval_loss", "grad_norm")):
            raise TitrateError(
                f"the loss is no longer a number after step {self.state.global_step}; set a smaller --learning-rate"
            )

    def _save_checkpoint(self, *parts: Any, **named: Any) -> None:
        remedy = "free some space and run again: training goes on from the last checkpoint that is whole"
        with one_line_errors(f"cannot write a checkpoint to {self.args.output_dir}", remedy):
            super()._save_checkpoint(*parts, **named)  # type: ignore[no-untyped-call]

    def _send_telemetry(self) -> None:
        pass

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Not here; see `preference.training.card`."""


def pair_losses(
    name: str,
    chosen: torch.Tensor,
    rejected: torch.Tensor,
    lengths: tuple[torch.Tensor, ...],
    beta: float,
    smoothing: float,
) -> torch.Tensor:
    """Loss of each pair [n].

    Parameters
    ----------
    name
        One of `preference.training.settings.PREFERENCE_LOSSES`.
    chosen, rejected
        How much more likely than at the start the answers have become, in nats [n].
    lengths
        Their tokens, [n] each; IPO goes by the mean over them, as its authors do.
    beta, smoothing
        See `preference.training.settings.TrainingSettings`.
    """
    if name == "ipo":
        apart = chosen / lengths[0] - rejected / lengths[1]  # [n]
        return (apart - 1 / (2 * beta)) ** 2
    margins = beta * (chosen - rejected)  # [n]
    if name == "hinge":
        return torch.relu(1 - margins)
    if name == "robust":
        as_told, flipped = -(1 - smoothing) * logsigmoid(margins), -smoothing * logsigmoid(-margins)
        return (as_told - flipped) / (1 - 2 * smoothing)
    return -logsigmoid(margins)
