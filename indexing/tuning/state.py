"""Where a run stands: weights, the best ones so far and the optimiser's state, as safetensors; no pickle."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from titrate import one_line_errors, write_atomic

_STATE, _TENSORS = "trainer_state.json", "state.safetensors"
_DECAY = 0.05
_REMEDY = "free some space and run again: it goes on from the last checkpoint"


def trained(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that are trained, by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def copied(model: nn.Module) -> dict[str, Tensor]:
    """Their values."""
    return {name: parameter.detach().cpu().clone() for name, parameter in trained(model).items()}


def make_optimiser(model: nn.Module) -> torch.optim.Optimizer:
    """AdamW (arXiv 1711.05101) on the parameters that are trained; matrices alone are drawn towards 0."""
    matrices, others = ([each for each in trained(model).values() if (each.ndim > 1) == wide] for wide in (True, False))
    groups = [{"params": matrices, "weight_decay": _DECAY}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups)


def _in_order(model: nn.Module) -> list[str]:
    """Names of the parameters as the optimiser numbers them."""
    parameters = trained(model)
    return sorted(parameters, key=lambda name: parameters[name].ndim <= 1)


def take(model: nn.Module, values: dict[str, Tensor]) -> None:
    """Give them other values."""
    with torch.no_grad():
        for name, parameter in trained(model).items():
            parameter.copy_(values[name])


class RunState:
    """All that a run needs to go on as if it had not been interrupted.

    Attributes
    ----------
    model, optimiser
        In training.
    best
        The values of the trained parameters at the best evaluation.
    history
        Each evaluation, as JSON; the first is of the untuned encoder.
    losses
        Of each step.
    """

    def __init__(self, model: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        self.model, self.optimiser = model, optimiser
        self.best = copied(model)
        self.history: list[dict[str, Any]] = []
        self.losses: list[float] = []

    @property
    def step(self) -> int:
        """Number of steps done."""
        return len(self.losses)

    def save(self, folder: Path) -> None:
        """Write a checkpoint of this step, whole or not at all, and delete all but it.

        Parameters
        ----------
        folder
            Of the checkpoints.

        Raises
        ------
        TitrateError
            If it cannot be written; older checkpoints stay.
        """
        part, whole = folder / "part", folder / f"checkpoint-{self.step}"
        names = _in_order(self.model)
        state = self.optimiser.state_dict()["state"]
        tensors = {f"model/{name}": value for name, value in copied(self.model).items()}
        tensors |= {f"best/{name}": value for name, value in self.best.items()}
        tensors |= {
            f"optimiser/{names[number]}/{kind}": value.cpu()
            for number, each in state.items()
            for kind, value in each.items()
        }
        with one_line_errors(f"cannot write a checkpoint to {folder}", _REMEDY):
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            save_file({name: value.contiguous() for name, value in tensors.items()}, part / _TENSORS)
            with (part / _TENSORS).open("rb") as file:
                os.fsync(file.fileno())
            write_atomic(part / _STATE, json.dumps({"history": self.history, "losses": self.losses}))
            shutil.rmtree(whole, ignore_errors=True)
            os.replace(part, whole)
            for other in folder.glob("checkpoint-*"):
                if other != whole:
                    shutil.rmtree(other, ignore_errors=True)

    def load(self, checkpoint: Path) -> None:
        """Take up a checkpoint that `save` wrote, in a run of the same identity.

        Raises
        ------
        TitrateError
            If it cannot be read.
        """
        with one_line_errors(f"cannot read {checkpoint}", "delete it to begin again"):
            tensors = load_file(checkpoint / _TENSORS)
            told = json.loads((checkpoint / _STATE).read_text())
            parts: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, "optimiser": {}}
            for name, value in tensors.items():
                kind, _, rest = name.partition("/")
                parts[kind][rest] = value
            take(self.model, parts["model"])
            self.best = parts["best"]
            numbers = {name: number for number, name in enumerate(_in_order(self.model))}
            state: dict[int, dict[str, Tensor]] = {}
            parameters = trained(self.model)
            for name, value in parts["optimiser"].items():
                owner, _, kind = name.rpartition("/")
                laid_out = value  # as its parameter is in memory: by that, too, sums and products are rounded
                if value.shape == parameters[owner].shape:
                    laid_out = torch.empty_like(parameters[owner], device="cpu").copy_(value)
                state.setdefault(numbers[owner], {})[kind] = laid_out
            self.optimiser.load_state_dict(
                {"state": state, "param_groups": self.optimiser.state_dict()["param_groups"]}
            )
            self.history, self.losses = told["history"], told["losses"]
