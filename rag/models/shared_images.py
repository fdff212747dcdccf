"""Encoding an image once for all the prompts that show it.

Shapes: n prompts, f images that were not encoded before, q image tokens, d their width.
"""

from inspect import signature
from typing import Any

import torch
from transformers.modeling_outputs import BaseModelOutputWithPooling

_FEATURES = {"last_hidden_state", "pooler_output", "hidden_states", "attentions"}


class SharedImages:
    """Encodes each image once, for architectures whose image features are one tensor [images, q, d]; else does nothing.

    Parameters
    ----------
    model
        The image-text model itself, without an adapter around it.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._known: dict[int, torch.Tensor] = {}
        takes = "mm_encoder_outputs" in signature(self._model.forward).parameters
        self._possible = takes and hasattr(model, "get_image_features")

    def share(self, inputs: dict[str, Any], images: list[int]) -> dict[str, Any]:
        """The inputs with image features in the place of pixels, or as they were if this architecture takes none.

        Parameters
        ----------
        inputs
            Of n prompts with an image each.
        images
            A number for each prompt's image, the same for the same image.
        """
        if not self._possible or set(inputs) - {"input_ids", "attention_mask", "pixel_values"}:
            return inputs
        if len(inputs["pixel_values"]) != len(images):  # a row for each crop of an image, say
            return inputs
        fresh = {name: row for row, name in enumerate(images) if name not in self._known}
        if fresh:
            pixels = inputs["pixel_values"][list(fresh.values())]  # [f, channels, height, width]
            found = self._model.get_image_features(pixel_values=pixels, return_dict=True)
            features = getattr(found, "pooler_output", None)  # [f, q, d]
            more = set(found) - _FEATURES  # Ovis 2 gives features of its own beside them, which the model would miss
            if more or not isinstance(features, torch.Tensor) or features.ndim != 3 or len(features) != len(fresh):
                self._possible = False
                return inputs
            self._known.update(zip(fresh, features, strict=True))
        features = torch.stack([self._known[name] for name in images])  # [n, q, d]
        shared = BaseModelOutputWithPooling(pooler_output=features)
        rest = {name: value for name, value in inputs.items() if name != "pixel_values"}
        return {**rest, "mm_encoder_outputs": {"image": shared}}
