"""What an encoder is made of, whichever library runs it, and how its fingerprint is taken."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image
from transformers import dynamic_module_utils

from titrate import InputError, hash_bytes, hash_json

# Code in a model's folder is refused everywhere, but where a library drops that on its way to transformers, it would
# ask whoever sits at the terminal whether to run it, and wait so many seconds.
dynamic_module_utils.TIME_OUT_REMOTE_CODE = 0

PROBES = ["", "No pleural effusion; heart size is normal.", "3.5 cm mass, T2-hyperintense (left)", "µm é ∧ 漢"]
"""Texts whose token ids go into the fingerprint: they show changes of merging or cleaning that a vocabulary hides."""

_WHERE = {
    *("hf_model_name", "hf_tokenizer_name", "transformers_version", "hf_model_pretrained", "timm_model_pretrained"),
    *("architectures", "torch_dtype", "dtype", "processor_class", "initializer_factor", "initializer_range"),
}
"""Parts of a configuration that say where files are, what wrote them, or how training began; what files hold is hashed
itself."""


class Towers(ABC):
    """A tower for images and one for texts, trained to put both into one space of d numbers.

    Attributes
    ----------
    id
        What opens them again, from any working directory.
    """

    id: str

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """SHA-256 of all that decides an embedding."""

    @property
    @abstractmethod
    def versions(self) -> dict[str, str]:
        """Of the libraries that embed, and the device that they use."""

    @property
    @abstractmethod
    def logit_scale(self) -> float:
        """The factor s that the training loss puts before a cosine."""

    @property
    @abstractmethod
    def logit_bias(self) -> float | None:
        """What a sigmoid loss adds to it; None for towers that were trained with a softmax."""

    @property
    @abstractmethod
    def context_length(self) -> int | None:
        """Tokens that are read of a text, special ones counted; None if that is not known."""

    @abstractmethod
    def preprocess(self, image: Image.Image) -> Any:
        """An RGB image as `images` takes it; may run in any thread."""

    @abstractmethod
    def images(self, pixels: Sequence[Any]) -> torch.Tensor:
        """Embeddings of n preprocessed images, of any length: [n, d]."""

    @abstractmethod
    def texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Embeddings of n texts, of any length: [n, d]."""

    def cut(self, texts: Sequence[str]) -> int:
        """How many texts are longer than is read of them; 0 where that is not known."""
        return 0

    def queries(self, texts: Sequence[str]) -> torch.Tensor:
        """Embeddings of n questions, to be compared with `texts`: [n, d]."""
        return self.texts(texts)


def checked_bias(bias: torch.Tensor | None) -> float | None:
    """A sigmoid loss's bias, which is never exactly 0 after training: open_clip puts 0 where a file holds none.

    Raises
    ------
    InputError
        If it is 0.
    """
    if bias is None:
        return None
    value = float(bias.item())
    if value == 0:
        raise InputError(
            "its configuration says that it was trained with a sigmoid loss, and its weights hold no logit_bias; get "
            "the encoder again"
        )
    return value


def what_it_is(config: Any) -> Any:
    """A configuration without what differs between copies of one encoder."""
    if isinstance(config, dict):
        kept = {key: value for key, value in config.items() if key not in _WHERE and not key.startswith("_")}
        return {key: what_it_is(value) for key, value in kept.items()}
    return config


def fingerprint(weights: Mapping[str, torch.Tensor], reading: Mapping[str, Any]) -> str:
    """SHA-256 of weights, and of all else that decides an embedding.

    Parameters
    ----------
    weights
        By name, as the model holds them: their number format counts.
    reading
        Preprocessing, vocabulary, tokens of `PROBES`, and how the towers are put together: with another activation or
        pooling their weights are the same.
    """
    parts: list[bytes] = []
    for name, tensor in sorted(weights.items()):
        raw = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        parts += [f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), raw]
    return hash_bytes(*parts, hash_json(reading).encode())


def device_name(device: torch.device) -> str:
    """The kind of a device: the name of a GPU's model, or what torch calls the device.

    >>> device_name(torch.device("cpu"))
    'cpu'
    """
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
