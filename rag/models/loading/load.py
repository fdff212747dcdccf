"""Loads a model and its processor from a folder, on the device and in the number format that were chosen."""

import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForImageTextToText, AutoProcessor, BitsAndBytesConfig, PreTrainedModel

from rag.models.loading.base_weights import check_base_weights
from rag.models.loading.complete import check_adapter
from rag.models.loading.options import LoadingOptions
from rag.models.loading.turn import check_template
from titrate import STOPS, InputError, check_complete, shorten


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model in evaluation mode, with its processor.

    Parameters
    ----------
    model, processor
        Of transformers; the model is inside a PEFT adapter where there is one.
    dtype
        Its number format.
    """

    model: Any
    processor: Any
    dtype: str

    @property
    def attention(self) -> list[tuple[str, str]]:
        """The implementation of attention in each part of the model, as they are: rounding differs between them."""
        parts = [part for part in self.model.modules() if isinstance(part, PreTrainedModel)]
        return sorted({(type(part).__name__, str(part.config._attn_implementation)) for part in parts})


def load_model(
    name: str, folder: Path, adapter: Path | None, device: str | None, dtype: str | None, options: LoadingOptions
) -> LoadedModel:
    """Load a model.

    Parameters
    ----------
    name, folder
        What the user calls it, and where it is.
    adapter, device, dtype
        As for `TransformersMLLM.open`.
    options
        The rest.

    Raises
    ------
    InputError
        If it cannot be loaded, is not whole, or reads not both text and images.
    """
    try:
        spread = options.device_map == "auto"
        where = (None if spread else options.device_map) or device or ("cuda" if torch.cuda.is_available() else "cpu")
        chosen = torch.device(where)
        numbers = dtype or ("float32" if chosen.type == "cpu" else "bfloat16")
        processor = AutoProcessor.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        how: dict[str, Any] = {"device_map": "auto"} if spread else {}
        if options.attention is not None:
            how["attn_implementation"] = options.attention
        if options.quantize is not None:
            how |= {"device_map": {"": where}} | how  # weights are quantised where they are to stay
            how["quantization_config"] = _quantization(options.quantize, getattr(torch, numbers), chosen)
        loaded: Any = AutoModelForImageTextToText.from_pretrained(
            folder,
            dtype=getattr(torch, numbers),
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
            **how,
        )
        model: Any = loaded[0]
        if hasattr(model, "peft_config"):
            raise InputError(f"{name} is an adapter; give its base model with --mllm, and it with --adapter")
        check_complete(name, loaded[1])
        if options.quantize is not None:
            _mend_layers(model)
        if adapter is not None:
            from peft import PeftModel

            with warnings.catch_warnings():  # PEFT asks transformers for a property by its old name
                warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
                warnings.filterwarnings("ignore", "Found missing adapter keys")  # refused below
                model = PeftModel.from_pretrained(model, str(adapter))
            check_adapter(adapter, name, model)
            check_base_weights(adapter, folder, name, options.quantize)
        model = (model if "device_map" in how else model.to(chosen)).eval()
    except (InputError, *STOPS):
        raise
    except BaseException as error:  # transformers and peft raise many kinds; Rust code panics
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"cannot load model {name}: {shorten(line, 300)}") from error
    if not hasattr(processor, "tokenizer") or not hasattr(processor, "image_processor"):
        raise InputError(f"model {name} does not read both text and images; its folder needs a processor for both")
    if not getattr(processor, "chat_template", None):
        raise InputError(f"model {name} has no chat template; add chat_template.jinja to its folder")
    check_template(processor.chat_template)
    return LoadedModel(model, processor, numbers)


def _quantization(kind: str, dtype: torch.dtype, device: torch.device) -> BitsAndBytesConfig:
    """How bitsandbytes is to store weights.

    Raises
    ------
    InputError
        If it does not run on the device.
    """
    import bitsandbytes

    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it tells at every layer how it rounds
    runs_on = sorted(bitsandbytes.supported_torch_devices)
    if device.type not in runs_on:
        raise InputError(f"models are loaded in {kind} on {', '.join(runs_on)}, not on {device.type}; choose one")
    if kind == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)


def _mend_layers(model: nn.Module) -> None:
    """Have quantised layers compute in the model's number format, of rows whose numbers lie side by side.

    On CPUs that compute in bfloat16, bitsandbytes 0.50 rounds float32 to that, and takes transposed image features for
    other numbers, so that the scores of every image are wrong.
    """
    for layer in model.modules():
        if type(layer).__module__.startswith("bitsandbytes."):
            layer.register_forward_pre_hook(lambda _, given: (given[0].contiguous(), *given[1:]))
            if hasattr(layer, "support_avx512bf16_for_cpu"):
                setattr(layer, "support_avx512bf16_for_cpu", False)  # noqa: B010 - mypy takes it for a module
