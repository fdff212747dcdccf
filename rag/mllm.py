"""What a multimodal language model does here, whatever runs it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image


@dataclass(frozen=True, eq=False)
class Prompt:
    """An image and the user's message about it."""

    image: Image.Image
    text: str


class MLLM(ABC):
    """Answers prompts freely, and scores given answers."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """SHA-256 of everything that decides its answers: weights, tokeniser, image preprocessing, adapter."""

    @abstractmethod
    def generate(self, prompts: Sequence[Prompt], max_new_tokens: int) -> list[str]:
        """The most likely continuation of each prompt, greedily, without the prompt."""

    @abstractmethod
    def score(
        self, prompts: Sequence[Prompt], options: Sequence[Sequence[str]], batch_size: int = 16
    ) -> list[NDArray[np.float64]]:
        """Log-probability of each prompt's options as its answer, each float64 [number of options]."""


def probabilities(log_probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Options' log-probabilities normalised over the options, so that they sum to 1."""
    shifted = np.exp(log_probabilities - log_probabilities.max())
    normalised: NDArray[np.float64] = shifted / shifted.sum()
    return normalised
