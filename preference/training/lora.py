"""Which weights an adapter changes, and keeping the rest as still as they are when questions are asked."""

import re
from typing import Any

from peft import LoraConfig
from torch import nn

from titrate import InputError

RANK, ALPHA = 16, 32


def lora_config(model: Any) -> LoraConfig:
    """Low-rank adapters on the attention and MLP projections of the language model (LoRA, arXiv 2106.09685).

    Never on ``lm_head``, whose adapter TRL would ignore, nor on the vision tower or the projector.

    Raises
    ------
    InputError
        If the language model cannot be told from the rest.
    """
    decoder = model.get_decoder()
    prefix = next(name for name, module in model.named_modules() if module is decoder)
    layers = {
        name.rsplit(".", 1)[-1] for name, module in decoder.named_modules() if isinstance(module, nn.Linear) and name
    }
    if not prefix or not layers:
        raise InputError(f"cannot tell the language model of {type(model).__name__} from its vision tower; use another")
    leaves = "|".join(sorted(map(re.escape, layers)))
    return LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=rf"{re.escape(prefix)}\..*\.({leaves})")


def keep_in_evaluation_mode(model: Any) -> None:
    """Keep the model in evaluation mode while it is trained.

    The trainer puts every module into training mode. The batch norms of a CNN tower would then normalise by the batch
    at hand, so that neither the policy nor the reference would be the model that answers questions. Dropout, which is
    all else that the mode decides, is off in DPO anyway.
    """
    model.base_model.register_forward_pre_hook(_evaluation_mode)


def _evaluation_mode(module: nn.Module, _: tuple[Any, ...]) -> None:
    module.eval()
