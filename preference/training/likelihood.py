"""How likely a model finds answers, token by token: by TRL's fused head where that is the model's own likelihood.

The fused head computes logits from the last hidden states by what it knows of each architecture: it scales where some
models do not (Aya Vision), and finds no hidden states in others (Llama 4). What is trained must be what `score` reads.

Shapes: n answers, t tokens, v in the vocabulary.
"""

from typing import Any

import torch

Batch = dict[str, Any]


def token_log_probabilities(model: Any, read: Batch, labels: torch.Tensor, *, fused: bool) -> torch.Tensor:
    """Log-probabilities of labels behind what stands before each, [n, t - 1]; 0 where a label is -100.

    Parameters
    ----------
    model
        The model, with TRL's fused head added.
    read
        What it reads, [n, t].
    labels
        Token ids, int64 [n, t].
    fused
        Whether to use the fused head; else all logits are kept, which takes memory for [n, t, v].
    """
    if fused:
        found: torch.Tensor = model(**read, use_cache=False, labels=labels, fused_lm_head=True).log_probs
        return found
    logits = model(**read, use_cache=False).logits[:, :-1].float()  # [n, t - 1, v]
    said = labels[:, 1:]
    chosen: torch.Tensor = logits.gather(-1, said.clamp(min=0)[..., None])[..., 0] - logits.logsumexp(-1)
    return chosen.masked_fill(said == -100, 0)


@torch.no_grad()
def fused_head_agrees(model: Any, read: Batch, labels: torch.Tensor) -> bool:
    """Whether the fused head gives a model's own log-probabilities, but for rounding."""
    try:
        fused = token_log_probabilities(model, read, labels, fused=True)
    except (AttributeError, TypeError, KeyError):
        return False
    apart = (fused.float() - token_log_probabilities(model, read, labels, fused=False)).abs().max()
    return bool(apart <= max(1e-3, 64 * torch.finfo(model.dtype).eps))
