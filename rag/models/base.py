"""What a multimodal language model does here, whatever runs it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image

_USUAL_SIDE = 336
"""Of CLIP's larger image tower, which many models have."""


@dataclass(frozen=True, eq=False)
class Prompt:
    """An image and the user's message about it."""

    image: "Image.Image"
    text: str


@dataclass(frozen=True, eq=False)
class NestedPrompt:
    """Messages about one image that read the first k of the same contexts, for every k.

    Parameters
    ----------
    image
        The image.
    opening
        What every message begins with.
    contexts
        What it goes on with, best first: the first k of these.
    closings
        What it ends with, one for each question about the image.
    """

    image: "Image.Image"
    opening: str
    contexts: tuple[str, ...]
    closings: tuple[str, ...]

    def at(self, question: int, k: int) -> Prompt:
        """The prompt of a question after k contexts, or after all where there are fewer."""
        return Prompt(self.image, self.opening + "".join(self.contexts[:k]) + self.closings[question])


class MLLM(ABC):
    """Answers prompts freely, and scores given answers."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """SHA-256 of everything that decides its answers: weights, tokeniser, image preprocessing, adapter."""

    @property
    def image_side(self) -> int:
        """Pixels along an image's longer side that it can tell apart, about."""
        return _USUAL_SIDE

    @abstractmethod
    def generate(self, prompts: Sequence[Prompt], max_new_tokens: int) -> list[str]:
        """The most likely continuation of each prompt, greedily, without the prompt."""

    @abstractmethod
    def score(self, prompts: Sequence[Prompt], options: Sequence[Sequence[str]]) -> list[NDArray[np.float64]]:
        """Log-probability of each prompt's options as its answer, each float64 [number of options]."""

    def score_nested(
        self, prompts: Sequence[NestedPrompt], options: Sequence[Sequence[Sequence[str]]], ks: Sequence[int]
    ) -> list[list[NDArray[np.float64]]]:
        """Log-probability of the options of every question after each of several numbers of contexts.

        Scores each number on its own; a model that can share the contexts between them overrides this.

        Parameters
        ----------
        prompts
            Questions about an image each.
        options
            The answers to choose from, of each prompt's questions.
        ks
            Numbers of contexts, rising. Where fewer exist, all are read.

        Returns
        -------
        list
            For each prompt and question float64 [len(ks), number of options].

        Raises
        ------
        ValueError
            If there is no number of contexts, one is negative, or they do not rise.
        """
        check_counts(ks)
        counts = [readable_counts(prompt, ks) for prompt in prompts]
        asked = [
            (prompt.at(question, k), choices)
            for prompt, sets, read in zip(prompts, options, counts, strict=True)
            for question, choices in enumerate(sets)
            for k in sorted(set(read))
        ]
        scores = iter(self.score([prompt for prompt, _ in asked], [choices for _, choices in asked]))
        found = []
        for sets, read in zip(options, counts, strict=True):
            tables = []
            for _ in sets:
                by_k = {k: next(scores) for k in sorted(set(read))}
                tables.append(np.stack([by_k[k] for k in read]))  # [len(ks), number of options]
            found.append(tables)
        return found


def check_counts(ks: Sequence[int]) -> None:
    """Make sure that these are numbers of contexts, rising, at least one.

    Raises
    ------
    ValueError
        If they are not.
    """
    if not ks or ks[0] < 0 or any(later <= earlier for earlier, later in pairwise(ks)):
        raise ValueError(f"numbers of contexts must be 0 or more and rise, found {list(ks)}")


def readable_counts(prompt: NestedPrompt, ks: Sequence[int]) -> list[int]:
    """How many contexts are read for each of ``ks``: as many, or all that there are."""
    return [min(k, len(prompt.contexts)) for k in ks]


def probabilities(log_probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Options' log-probabilities normalised over the options, so that they sum to 1."""
    shifted = np.exp(log_probabilities - log_probabilities.max())
    normalised: NDArray[np.float64] = shifted / shifted.sum()
    return normalised
