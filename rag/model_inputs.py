"""What a model is given besides a processor's output: option tokens after the prompts, and positions."""

from inspect import signature
from typing import Any

import torch


def positions(model: Any, inputs: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Positions counted from each prompt's first token, so that padding, and so the rest of a batch, changes nothing.

    Nothing for models with positions of their own kind, as Qwen-VL's in three dimensions: they see to it themselves.
    """
    if "position_ids" not in signature(model.forward).parameters or hasattr(model.base_model, "get_rope_index"):
        return {}
    return {"position_ids": (inputs["attention_mask"].cumsum(1) - 1).clamp(min=0)}


def append(inputs: dict[str, torch.Tensor], stems: torch.Tensor) -> dict[str, torch.Tensor]:
    """The inputs with the rows of ``stems`` [n, m] after the prompts, in whatever runs along the tokens."""
    if not stems.shape[1]:
        return inputs
    shape = inputs["input_ids"].shape
    added = stems.to(inputs["input_ids"].device)
    more = {"input_ids": added, "attention_mask": torch.ones_like(added)}
    return {
        name: torch.cat([value, more.get(name, torch.zeros_like(added)).to(value.dtype)], 1)
        if value.shape == shape
        else value
        for name, value in inputs.items()
    }
