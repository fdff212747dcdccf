"""What a model is given besides a processor's output: rows joined, tokens after the prompts, and positions.

Shapes: n prompts, t tokens of the longest, m tokens added to each, v tokens in the vocabulary.
"""

from collections.abc import Callable, Sequence
from inspect import signature
from typing import Any

import torch
from PIL import Image
from torch.nn.functional import pad

CROSS_ATTENTION = "cross_attention_mask"
"""Which tiles of the image a token sees, of architectures that read it by cross-attention."""


def takes_positions(model: Any) -> bool:
    """Whether a model can be told its tokens' positions."""
    return "position_ids" in signature(model.forward).parameters


def positions(model: Any, inputs: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Positions counted from each prompt's first token: padding, and with it the rest of a batch, changes nothing.

    Returns
    -------
    dict
        ``position_ids``, int64 [n, t], or [3, n, t] for models such as Qwen-VL whose image tokens have positions in
        three dimensions; nothing for models that take no positions.
    """
    if not takes_positions(model):
        return {}
    if hasattr(model.base_model, "get_rope_index"):
        index = model.base_model.get_rope_index
        known = {name: inputs[name] for name in signature(index).parameters if name in inputs}
        return {"position_ids": index(**known)[0]}  # [3, n, t]
    return {"position_ids": (inputs["attention_mask"].cumsum(1) - 1).clamp(min=0)}  # [n, t]


def last_logits(model: Any, base: Any, inputs: dict[str, Any], count: int, **how: Any) -> torch.Tensor:
    """Logits of the last ``count`` tokens, [n, count, v].

    A model that can is asked for these only, which saves memory. Some that say so give those of all tokens, or take the
    number and do nothing with it, so the last are taken from what comes.

    Parameters
    ----------
    model, base
        The model, and the same without an adapter around it, whose signature says what it takes.
    inputs
        What it reads.
    count
        At most as many as there are tokens.
    how
        Further arguments of the model.
    """
    if "logits_to_keep" in signature(base.forward).parameters:
        how["logits_to_keep"] = count
    logits: torch.Tensor = model(**inputs, **how).logits
    return logits[:, -count:]


def append_tokens(inputs: dict[str, torch.Tensor], added_ids: torch.Tensor) -> dict[str, torch.Tensor]:
    """The inputs with tokens ``added_ids``, int64 [n, m], after the prompts: what runs along the tokens grows by m."""
    if not added_ids.shape[1]:
        return inputs
    shape = inputs["input_ids"].shape
    added = added_ids.to(inputs["input_ids"].device)  # [n, m]
    more = {"input_ids": added, "attention_mask": torch.ones_like(added)}

    def longer(name: str, value: torch.Tensor) -> torch.Tensor:
        if value.shape == shape:
            return torch.cat([value, more.get(name, torch.zeros_like(added)).to(value.dtype)], 1)
        if name == CROSS_ATTENTION:  # [n, t, images, tiles]: an answer sees what the prompt's last token does
            return torch.cat([value, value[:, -1:].expand(-1, added.shape[1], -1, -1)], 1)
        return value

    return {name: longer(name, value) for name, value in inputs.items()}


def per_prompt_shapes(inputs: dict[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    """Shape of each prompt's part of what does not run along the tokens; rows can be joined where these are equal."""
    shape = inputs["input_ids"].shape
    return {name: () if value.shape == shape else tuple(value.shape[1:]) for name, value in inputs.items()}


def can_join(
    read: Callable[[list[str], list[Image.Image]], dict[str, torch.Tensor]],
    texts: Sequence[str],
    image: Image.Image,
    pad_id: int,
) -> bool:
    """Whether `join_rows` gives what is read of the same prompts together.

    Some processors number their crops or patches through the whole batch (Molmo 2).

    Parameters
    ----------
    read
        What a model is given of rendered texts with an image each.
    texts, image
        Two texts, and what each is read with: both with the image itself, and one with a narrow one.
    pad_id
        As for `join_rows`.
    """
    for images in ([image] * 2, [image, image.resize((90, 250))]):
        rows = [read([text], [shown]) for text, shown in zip(texts, images, strict=True)]
        if per_prompt_shapes(rows[0]) != per_prompt_shapes(rows[1]):
            continue  # such rows are never joined
        joined, together = join_rows(rows, pad_id), read(list(texts), images)
        if joined.keys() != together.keys():
            return False
        for name, value in joined.items():
            if value.shape != together[name].shape or not torch.allclose(value, together[name]):
                return False
    return True


def join_rows(rows: Sequence[dict[str, torch.Tensor]], pad_id: int) -> dict[str, torch.Tensor]:
    """Inputs of one prompt each as one batch [n, t], padded on the left with ``pad_id``."""
    longest = max(row["input_ids"].shape[1] for row in rows)

    def padded(name: str, row: dict[str, torch.Tensor]) -> torch.Tensor:
        value = row[name]  # [1, ...], and [1, its tokens] of what runs along them
        if value.shape != row["input_ids"].shape:
            return value
        return pad(value, (longest - value.shape[1], 0), value=pad_id if name == "input_ids" else 0)

    return {name: torch.cat([padded(name, row) for row in rows]) for name in rows[0]}
