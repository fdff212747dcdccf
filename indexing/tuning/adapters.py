"""Low-rank adapters (LoRA, arXiv 2106.09685) on the towers of an open_clip model, by PEFT."""

import re
from typing import Any

from peft import LoraConfig
from peft.tuners.lora import LoraModel
from peft.tuners.lora.layer import MultiheadAttention
from torch import nn

from titrate import InputError

RANK, ALPHA = 16, 32


class Adapters:
    """An adapter beside each attention, linear layer and convolution of a model, in place; they alone are trained.

    Raises
    ------
    InputError
        If the model has no such layer.
    """

    def __init__(self, model: nn.Module) -> None:
        names = adapted(model)
        if not names:
            raise InputError("no layer of this encoder takes an adapter; train all of its weights with --full")
        config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules="|".join(map(re.escape, names)))
        self._lora = LoraModel(model, config, "default")
        self._attentions: list[Any] = [each for each in model.modules() if isinstance(each, MultiheadAttention)]
        self._held = [[each.detach().clone() for each in _weights(layer)] for layer in self._attentions]

    def settle(self) -> None:
        """Put the attentions' own weights back: PEFT adds an adapter to them for every pass, and takes it off again.

        Each time that rounds them, so that they would drift away, and a run that was taken up from one that was not.
        """
        for layer, (inner, outer) in zip(self._attentions, self._held, strict=True):
            base = layer.get_base_layer()
            base.register_parameter("in_proj_weight", nn.Parameter(inner.clone(), requires_grad=False))
            last = base.out_proj.get_base_layer()
            last.register_parameter("weight", nn.Parameter(outer.clone(), requires_grad=False))

    def merge(self) -> None:
        """Add the adapters to the model's weights, and leave it without them."""
        self.settle()
        self._lora.merge_and_unload()

    def drop(self) -> None:
        """Leave the model as it was before."""
        self.settle()
        self._lora.unload()


def _weights(layer: Any) -> tuple[nn.Parameter, nn.Parameter]:
    base = layer.get_base_layer()
    return base.in_proj_weight, base.out_proj.get_base_layer().weight


def adapted(model: nn.Module) -> list[str]:
    """The names of the layers that take an adapter: an attention as a whole, since it reads its parts' weights itself.

    Convolutions by groups are left out; a low rank of theirs is none of their own weights'.
    """
    names: list[str] = []
    for name, module in model.named_modules():
        if names and any(name.startswith(f"{outer}.") for outer in names):
            continue
        if isinstance(module, nn.MultiheadAttention | nn.Linear) or (
            isinstance(module, nn.Conv2d) and module.groups == 1
        ):
            names.append(name)
    return names
