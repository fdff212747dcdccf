"""How a model is loaded: what a user may choose beside its name, its adapter, its device and its number format.

Imports neither torch nor transformers: what is wrong with a choice is told before they are.
"""

from dataclasses import dataclass
from importlib.util import find_spec

from titrate import InputError

QUANTIZATIONS = ("4bit", "8bit")
"""How the weights of linear layers can be stored: in 4 bits (NF4, arXiv 2305.14314) or 8 (LLM.int8, 2208.07339)."""

ATTENTIONS = ("eager", "sdpa", "flash_attention_2")
"""Implementations of attention in transformers."""


@dataclass(frozen=True)
class LoadingOptions:
    """How a model is loaded.

    Attributes
    ----------
    device_map
        ``"auto"`` spreads the model over all GPUs and, where these are full, the CPU; a torch device holds all of it.
        None for the device that is named otherwise.
    quantize
        One of `QUANTIZATIONS`, done by bitsandbytes while loading; None for weights as they are stored.
    attention
        One of `ATTENTIONS`; None for the model's own.
    batch_size
        At most so many prompts in a forward pass; None for what suits the device.
    thought_tokens
        Of a model that thinks before it answers: at most so many tokens of thoughts, then they are ended. None for
        `THOUGHT_TOKENS`.

    Raises
    ------
    InputError
        If one of them is unknown, or bitsandbytes is needed and not installed.
    """

    device_map: str | None = None
    quantize: str | None = None
    attention: str | None = None
    batch_size: int | None = None
    thought_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.quantize not in (None, *QUANTIZATIONS):
            raise InputError(f"unknown quantization {self.quantize}; it can be {', '.join(QUANTIZATIONS)}")
        if self.attention not in (None, *ATTENTIONS):
            raise InputError(f"unknown attention {self.attention}; it can be {', '.join(ATTENTIONS)}")
        if self.batch_size is not None and self.batch_size < 1:
            raise InputError(f"a batch holds at least 1 prompt, not {self.batch_size}")
        if self.thought_tokens is not None and self.thought_tokens < 1:
            raise InputError(f"thoughts take at least 1 token, not {self.thought_tokens}")
        if self.quantize is not None and find_spec("bitsandbytes") is None:
            raise InputError(
                f"to load a model in {self.quantize} needs bitsandbytes, which is not installed; "
                "pip install 'titrate[quantize]'"
            )
        if self.attention == "flash_attention_2" and find_spec("flash_attn") is None:
            raise InputError(
                "flash_attention_2 needs flash-attn, which is not installed; pip install flash-attn, or choose sdpa"
            )

    def named(self) -> dict[str, str]:
        """What was chosen, by the names of the options on the command line."""
        chosen = {
            "--device-map": self.device_map,
            "--quantize-model": self.quantize,
            "--attention": self.attention,
            "--batch-size": self.batch_size,
            "--thought-tokens": self.thought_tokens,
        }
        return {name: str(value) for name, value in chosen.items() if value is not None}
