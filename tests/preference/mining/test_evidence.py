"""Where evidence lies, worked out by hand for a model that looks at one corner."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from preference import Evidence, Noise, PreferencePair, locate_evidence, restrict_noise
from rag import MLLM, Prompt


class BrightCorner(MLLM):
    """Says yes with log-probability of the mean brightness of the lower right patch, over 255."""

    fingerprint = "corner"

    def generate(self, prompts: Any, max_new_tokens: int) -> list[str]:
        raise NotImplementedError

    def score(self, prompts: Any, options: Any, batch_size: int = 16) -> list[Any]:
        def patch(prompt: Prompt) -> float:
            pixels = np.asarray(prompt.image.convert("L"), dtype=np.float64)
            return float(pixels[48:, 48:].mean() / 255)

        assert all(choices == ["yes"] for choices in options)
        return [np.array([patch(prompt)]) for prompt in prompts]


def test_evidence_lies_where_covering_takes_the_answer_away(cornered: PreferencePair) -> None:
    # Covered with the image's mean, 255 / 16 ≈ 16, the log-probability falls from 1 to 16 / 255.
    [found] = locate_evidence(BrightCorner(), [cornered])
    assert found.region == (0.75, 0.75, 1.0, 1.0)
    assert found.strength == pytest.approx(1 - np.exp(-(1 - 16 / 255)))
    [pair] = restrict_noise([cornered], [found])
    assert pair.rejected_noise == Noise(region=(0.75, 0.75, 1.0, 1.0))


def test_a_drawn_region_comes_first(cornered: PreferencePair) -> None:
    box = (0.0, 0.0, 0.5, 0.5)
    [found] = locate_evidence(BrightCorner(), [cornered], drawn={cornered.image.resolve(): box})
    assert found == Evidence(box, 0.0)


def test_pairs_without_noise_stay_as_they_are(cornered: PreferencePair) -> None:
    plain = replace(cornered, rejected="no", rejected_noise=None)
    assert restrict_noise([plain], [Evidence((0, 0, 0.5, 0.5), 1.0)]) == [plain]
