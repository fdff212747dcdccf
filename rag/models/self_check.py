"""Whether a model is scored rightly by the ways that save time: many prompts at once, tokens put behind a prompt.

Architectures differ in what they do with padding, with positions, with tokens that no processor wrote, and in whether
they say so. None is trusted by its name: what `score` gives is compared with the plainest computation there is, the
whole text of prompt and answer through processor and model by itself.

Shapes: t tokens of prompt and answer, m of the answer, v in the vocabulary.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from rag.models.base import NestedPrompt, Prompt, check_finite
from rag.models.chat_model import ChatModel
from rag.models.option_tokens import TAIL
from titrate import InputError, first_line

FLOOR = 1e-3
"""Nats by which two ways to score may always differ."""

_SHORT = "Is there an effusion?"
_LONG = "Report [1]: The heart is of normal size. No effusion.\n" * 3 + _SHORT
_OPTIONS, _FEW = ("yes", "no", "small left pleural effusion"), ("a", "b")


def _picture(number: int, size: tuple[int, int] = (288, 192)) -> Image.Image:
    """An image of blots, wider than high unless asked otherwise, always the same for a number."""
    blots = np.random.default_rng(number).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    return Image.fromarray(blots).resize(size, Image.Resampling.BICUBIC)


CHECKED = Prompt(_picture(0), _SHORT)
"""What a model is asked when it is opened."""

NESTED = tuple(
    NestedPrompt(
        picture,
        "",
        (
            "Report [1]: Clear lungs.\n",
            "Report [2]: Large heart, wide aorta, a small effusion.\n",
            "Report [3]: Normal.\n",
        ),
        (_SHORT, "Where is it? A: left B: right", "Is the heart of normal size in this image?"),
    )
    for picture in (_picture(0), _picture(2, (90, 250)))
)
NESTED_OPTIONS = [[_OPTIONS, ("A", "B"), ("yes", "no")]] * len(NESTED)
NESTED_KS = (0, 1, 3)
"""What it is asked before contexts are shared: unlike images, questions, answers and numbers of contexts."""

_FAILURES = (RuntimeError, TypeError, ValueError, AttributeError, LookupError)
"""What an architecture raises that was not made for batches or positions of the caller's."""

Score = Callable[[Sequence[Prompt], Sequence[Sequence[str]], "Ways"], list[NDArray[np.float64]]]


@dataclass(frozen=True)
class Ways:
    """What may be done to save time.

    Parameters
    ----------
    batch
        Prompts of unlike length share a forward pass.
    append
        An answer's tokens are put behind what the processor made of the prompt, rather than read with it anew.
    causal
        No token sees a later one. Where some do, the first tokens of an answer would see the rest of it, and nothing
        but answers of one token can be scored.
    """

    batch: bool = True
    append: bool = True
    causal: bool = True


def find_ways(mllm: ChatModel, name: str, score: Score) -> tuple[Ways, str]:
    """The ways in which a model's scores are right: the fastest of those that agree with the plainest computation.

    With them comes what is to be told about them behind the model's name, if they are not the usual ones.

    Parameters
    ----------
    mllm
        The model.
    name
        What it is called, for messages.
    score
        Scores prompts in given ways.

    Raises
    ------
    InputError
        If the plainest computation itself is not possible, or comes out the same whatever the image shows.
    """
    image, other = _picture(0), _picture(1)
    try:
        ahead, noise = _looks_ahead(mllm, Prompt(image, _SHORT))
        causal = ahead <= allowed(noise)
        choices = _OPTIONS if causal else _FEW
        prompts, options = [Prompt(image, _SHORT), Prompt(_picture(2, (90, 250)), _LONG)], [choices, choices]
        plain = [score_from_scratch(mllm, prompt, choices) for prompt in prompts]
        elsewhere = score_from_scratch(mllm, Prompt(other, _SHORT), choices)
        with nudged(mllm):
            noise = float(np.abs(score_from_scratch(mllm, prompts[1], choices) - plain[1]).max())
    except (torch.OutOfMemoryError, InputError):
        raise
    except _FAILURES as error:
        raise InputError(f"model {name} cannot read an image and a question: {first_line(error)}") from error
    if (plain[0] == elsewhere).all():
        raise InputError(
            f"model {name} gives the same scores whatever the image shows: it does not look at it; use another model"
        )
    reason = "" if causal else "its tokens see later ones"
    for ways in (Ways(causal=causal), Ways(False, True, causal), Ways(False, False, causal)):
        try:
            found = score(prompts, options, ways)
            apart = max(float(np.abs(a - b).max()) for a, b in zip(found, plain, strict=True))
            if apart <= allowed(noise):
                break
            reason = reason or f"scores differ by {apart:.2g}"
        except torch.OutOfMemoryError:
            raise
        except _FAILURES as error:
            reason = reason or first_line(error)
    if not reason:
        return ways, ""
    how = "prompts are read together" if ways.batch else "it reads one prompt after another, which is slower"
    only = "" if causal else ", and answers of one token only can be scored"
    return ways, f"is not read in the usual way ({reason}): {how}{only}"


@torch.inference_mode()
def _looks_ahead(mllm: ChatModel, prompt: Prompt) -> tuple[float, float]:
    """How far the score of an answer's first token moves, in nats: where the rest stands behind it, and by rounding."""
    text = mllm.render(prompt.text)
    ids = mllm.option_tokens.continuation(text[-TAIL:], _OPTIONS[-1])
    whole = text + mllm.option_tokens.spelled(text[-TAIL:], _OPTIONS[-1])

    def first(read: str, row: int) -> float:
        logits = mllm.model(**mllm.inputs([read], [prompt.image])).logits[0, row]  # [v]
        return float(torch.log_softmax(logits.double(), dim=-1)[ids[0]])

    alone, answered = first(text, -1), first(whole, -len(ids) - 1)
    with nudged(mllm):
        moved = first(text, -1)
    return abs(alone - answered), abs(alone - moved)


@contextmanager
def nudged(mllm: ChatModel) -> Iterator[None]:
    """Have every token's embedding moved by a rounding unit of the number format, up and down in turn.

    How far scores move by that is the number format's own noise in this model: masks, positions and the rest of a batch
    have no part in it, so that no mistake in those makes it larger.
    """
    eps = torch.finfo(mllm.model.dtype).eps
    if getattr(mllm.base, "is_loaded_in_8bit", False):
        eps = max(eps, torch.finfo(torch.float16).eps)  # such layers compute in float16

    def nudge(module: Any, given: Any, found: torch.Tensor) -> torch.Tensor:
        steps = torch.arange(found.shape[-1], device=found.device) % 2 * 2 - 1
        return found * (1 + eps * steps).to(found.dtype)

    handle = mllm.base.get_input_embeddings().register_forward_hook(nudge)
    try:
        yield
    finally:
        handle.remove()


def allowed(noise: float) -> float:
    """How far scores may differ, in nats, that are equal but for rounding: twice the noise, and 0.001 at least."""
    return max(FLOOR, 2 * noise)


@torch.inference_mode()
def score_from_scratch(mllm: ChatModel, prompt: Prompt, options: Sequence[str], text: str = "") -> NDArray[np.float64]:
    """Log-probability of a prompt's options, each read whole and by itself; float64 [number of options].

    Parameters
    ----------
    mllm, prompt, options
        The model, and what it is asked.
    text
        What is read before the answer, if not the prompt alone as the model renders it.

    Raises
    ------
    InputError
        If an option cannot be told from the prompt.
    """
    text = text or mllm.render(prompt.text)
    scores = np.zeros(len(options))
    for option_prefix in mllm.option_tokens.prefixes(text, options):
        for number, ids in option_prefix.options.items():
            read = ids if option_prefix.ids else []  # the one token of an answer need not be read to be scored
            spelled = mllm.option_tokens.spelled(text[-TAIL:], options[number]) if read else ""
            if len(read) > len(mllm.option_tokens.continuation(text[-TAIL:], options[number])):
                spelled += mllm.turn.end
            inputs = mllm.inputs([text + spelled], [prompt.image])
            if inputs["input_ids"][0, inputs["input_ids"].shape[1] - len(read) :].tolist() != read:
                raise InputError(f"this model's processor joins the option {options[number]!r} to the prompt")
            logits = mllm.model(**inputs).logits[0, -len(read) - 1 :].double()  # [m + 1, v], or [1, v]
            table = torch.log_softmax(logits, dim=-1).cpu()
            scores[number] = table[torch.arange(len(ids)), ids].sum()
    check_finite(scores)
    return scores
