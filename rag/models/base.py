"""The interface of a multimodal language model: it answers prompts, and scores given answers."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rag.token_budget import TokenBudget
from titrate import InputError

if TYPE_CHECKING:
    from PIL import Image

NO_NUMBERS = (
    "the model's scores are not finite numbers: its weights or its adapter are damaged, or its arithmetic overflows; "
    "restore them, or use another --device or model"
)
"""Says so where a model gives NaN."""

OPENING_ANSWER = "server's opening answer"
"""Among the versions of a model that a server runs: what it answers to a small question, as only that shows it."""

_USUAL_SIDE = 336
"""Pixels along an image's side that CLIP's larger vision tower reads, which many models contain."""


@dataclass(frozen=True, eq=False)
class Prompt:
    """An image and the user's message about it."""

    image: "Image.Image"
    text: str


@dataclass(frozen=True, eq=False)
class NestedPrompt:
    """Questions about one image, each after the first k of the same contexts, for any k.

    A prompt is the opening, then the first k contexts, then the closing of one question.

    Parameters
    ----------
    image
        The image.
    opening
        What every message begins with.
    contexts
        What may follow, best first: every message reads the first k of these.
    closings
        What messages end with, one for each question about the image.
    """

    image: "Image.Image"
    opening: str
    contexts: tuple[str, ...]
    closings: tuple[str, ...]

    def at(self, question: int, k: int) -> Prompt:
        """The prompt of the question with that number, after k contexts, or after all where there are fewer than k."""
        return Prompt(self.image, self.opening + "".join(self.contexts[:k]) + self.closings[question])


class PromptTooLongError(InputError):
    """A prompt is too long for the model.

    Parameters
    ----------
    message
        As of any error.
    prompt
        Which; its text may be the user's message alone, or as the chat template writes it.
    """

    def __init__(self, message: str, prompt: Prompt) -> None:
        super().__init__(message)
        self.prompt = prompt


class MLLM(TokenBudget, ABC):
    """Answers prompts freely, and scores given answers; says how many tokens of a prompt a report may take."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """SHA-256 of everything that its answers depend on: weights, tokeniser, image preprocessing, adapter."""

    @property
    def versions(self) -> dict[str, str]:
        """Of the libraries and the device that it runs on here; none where a server runs it."""
        return {}

    def other_weights(self, versions: Mapping[str, str]) -> str | None:
        """How it differs from the model that had these versions, in words; None if nothing but rounding shows.

        The fingerprint tells weights apart wherever they can be read.
        """
        return None

    @property
    def folders(self) -> Mapping[str, Path]:
        """The folders of its weights, as ``"the model"`` and ``"the adapter"``; none of what a server runs."""
        return {}

    @property
    def image_side(self) -> int:
        """About how many pixels the model reads along an image's longer side; a larger image is scaled down."""
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
        """Log-probability of every question's options, after each of several numbers of contexts.

        Here each number of contexts is scored on its own. A model that can read the contexts once for all numbers
        overrides this.

        Parameters
        ----------
        prompts
            One for each image, with one or more questions.
        options
            For each prompt and each of its questions, the answers to choose from.
        ks
            Numbers of contexts, each larger than the one before. Where a prompt has fewer contexts, all are read.

        Returns
        -------
        list
            For each prompt and question float64 [len(ks), number of options].

        Raises
        ------
        ValueError
            If ``ks`` is empty, holds a negative number, or does not rise.
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
    """Refuse numbers of contexts unless there is at least one, none is negative, and each is larger than the last.

    Raises
    ------
    ValueError
        If they are not.
    """
    if not ks or ks[0] < 0 or any(later <= earlier for earlier, later in pairwise(ks)):
        raise ValueError(f"numbers of contexts must be 0 or more and rise, found {list(ks)}")


def readable_counts(prompt: NestedPrompt, ks: Sequence[int]) -> list[int]:
    """How many contexts are read for each k: k, or all that there are where these are fewer."""
    return [min(k, len(prompt.contexts)) for k in ks]


def check_finite(scores: NDArray[np.float64]) -> None:
    """Refuse scores that are no numbers.

    Raises
    ------
    InputError
        If one is NaN or plus infinity, or all are minus infinity. One alone may be that: an option that cannot be.
    """
    if bool(np.isnan(scores).any() or np.isposinf(scores).any() or (scores.size and np.isneginf(scores).all())):
        raise InputError(NO_NUMBERS)


def normalised(log_probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log-probabilities of options [options], made such that the probabilities sum to 1.

    Raises
    ------
    InputError
        If one is NaN or infinite: the first option would else be the answer, with a confidence of 1.
    """
    check_finite(log_probabilities)
    shifted = log_probabilities - log_probabilities.max()
    among_options: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum())
    return among_options
