"""Which weights an adapter changes, and how the others are kept as they are when questions are answered."""

import re
from typing import Any

from peft import LoraConfig
from torch import nn

from titrate import InputError

RANK, ALPHA = 16, 32


def lora_config(model: Any) -> LoraConfig:
    """Configure low-rank adapters on the attention and MLP projections of the language model (LoRA, arXiv 2106.09685).

    There is none on ``lm_head``, where TRL would ignore it, nor on the vision tower or the projector.

    Parameters
    ----------
    model
        A transformers model that reads images and texts.

    Raises
    ------
    InputError
        If the language model cannot be told from the rest.
    """
    decoder = model.get_decoder()
    prefix = next(name for name, module in model.named_modules() if module is decoder)
    layers = {
        name.rsplit(".", 1)[-1]
        for name, module in decoder.named_modules()
        if name and isinstance(module, nn.Linear) and _is_plain(module)
    }
    if not prefix or not layers:
        raise InputError(f"cannot tell the language model of {type(model).__name__} from its vision tower; use another")
    leaves = "|".join(sorted(map(re.escape, layers)))
    return LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=rf"{re.escape(prefix)}\..*\.({leaves})")


def _is_plain(layer: nn.Linear) -> bool:
    """Whether a layer gives a tensor, whatever its weights are stored in; a router's gives more."""
    return type(layer).forward is nn.Linear.forward or type(layer).__module__.startswith("bitsandbytes.")


def keep_in_evaluation_mode(model: Any) -> None:
    """Keep the model in evaluation mode while it is trained, by a hook that resets it before every forward pass.

    The trainer puts every module into training mode. The batch norms of a CNN tower would then normalise by the batch
    at hand, so that neither the policy nor the reference would be the model that answers questions. The mode decides
    nothing else but dropout, which DPO turns off anyway.

    Parameters
    ----------
    model
        A transformers model.
    """
    model.base_model.register_forward_pre_hook(_evaluation_mode)


def _evaluation_mode(module: nn.Module, _: tuple[Any, ...]) -> None:
    module.eval()
