"""What a multimodal language model does here, whatever runs it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_USUAL_SIDE = 336
"""Of CLIP's larger image tower, which many models have."""


@dataclass(frozen=True, eq=False)
class Prompt:
    """An image and the user's message about it."""

    image: Image.Image
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

    image: Image.Image
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
        self, prompts: Sequence[NestedPrompt], options: Sequence[Sequence[Sequence[str]]], max_k: int
    ) -> list[list[NDArray[np.float64]]]:
        """Log-probability of the options of every question at every k, each float64 [max_k + 1, number of options].

        Scores each k on its own; a model that can share the contexts between them overrides this.

        Parameters
        ----------
        prompts
            Questions about an image each.
        options
            The answers to choose from, of each prompt's questions.
        max_k
            The most contexts to read. Where fewer exist, all are read.
        """
        asked = [
            (prompt.at(question, k), choices)
            for prompt, sets in zip(prompts, options, strict=True)
            for question, choices in enumerate(sets)
            for k in range(min(max_k, len(prompt.contexts)) + 1)
        ]
        scores = iter(self.score([prompt for prompt, _ in asked], [choices for _, choices in asked]))
        found = []
        for prompt, sets in zip(prompts, options, strict=True):
            read = min(max_k, len(prompt.contexts)) + 1
            tables = [np.stack([next(scores) for _ in range(read)]) for _ in sets]
            found.append([np.pad(table, ((0, max_k + 1 - read), (0, 0)), mode="edge") for table in tables])
        return found


def probabilities(log_probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Options' log-probabilities normalised over the options, so that they sum to 1."""
    shifted = np.exp(log_probabilities - log_probabilities.max())
    normalised: NDArray[np.float64] = shifted / shifted.sum()
    return normalised
