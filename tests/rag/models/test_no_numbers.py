"""A model that gives NaN is refused: it has no likeliest option, though `argmax` finds one."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from rag import NestedPrompt, Prompt, TransformersMLLM, normalised
from rag.models.server.replies import answer_tokens
from tests.preference.tiny import make_mllm
from titrate import InputError

PICTURE = Image.new("L", (32, 32), 128)


def last_weights(names: Iterable[str]) -> str:
    return next(name for name in names if name.endswith("norm.weight") and "vision" not in name)


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> TransformersMLLM:
    """A model whose last weights became NaN after it was opened."""
    opened = TransformersMLLM.open(str(make_mllm(tmp_path_factory.mktemp("mllm"), seed=3)), device="cpu")
    weights = dict(opened.model.named_parameters())
    with torch.no_grad():
        weights[last_weights(weights)].fill_(float("nan"))
    return opened


def test_a_folder_with_such_weights_is_refused(tmp_path: Path) -> None:
    folder = make_mllm(tmp_path / "mllm", seed=3)
    weights = load_file(folder / "model.safetensors")
    name = last_weights(weights)
    weights[name] = torch.full_like(weights[name], float("nan"))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="not finite numbers"):
        TransformersMLLM.open(str(folder), device="cpu")


def test_scores_are_refused(broken: TransformersMLLM) -> None:
    scores = broken.score([Prompt(PICTURE, "Is it?")], [["yes", "no"]])[0]
    assert np.isnan(scores).all()
    with pytest.raises(InputError, match="scores are not finite numbers: its weights or its adapter are damaged"):
        normalised(scores)


@pytest.mark.filterwarnings("ignore:.*scored on its own")
def test_nested_scores_are_refused(broken: TransformersMLLM) -> None:
    prompt = NestedPrompt(PICTURE, "", ("Clear lungs.",), ("Is it?",))
    tables = broken.score_nested([prompt], [[["yes", "no"]]], (0, 1))
    for line in tables[0][0]:
        with pytest.raises(InputError, match="not finite numbers"):
            normalised(line)


def test_free_text_is_refused(broken: TransformersMLLM) -> None:
    with pytest.raises(InputError, match="not finite numbers"):
        broken.generate([Prompt(PICTURE, "What is it?")], 4)


@pytest.mark.parametrize("scores", [[np.nan, -1.0], [-1.0, np.nan], [np.inf, -1.0], [-np.inf, -np.inf]])
def test_no_option_is_the_likeliest_of_these(scores: list[float]) -> None:
    with pytest.raises(InputError, match="not finite numbers"):
        normalised(np.array(scores))


def test_an_option_may_be_impossible() -> None:
    """As where a server's words decide."""
    assert normalised(np.array([-np.inf, 0.0])).tolist() == [-np.inf, 0.0]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 0.7, "NaN", None])
def test_a_servers_log_probability_that_is_none_is_not_read(value: object) -> None:
    sound = {"token": "yes", "logprob": -0.1, "top_logprobs": [{"token": "yes", "logprob": -0.1}]}
    broken = {"token": "no", "logprob": -3.0, "top_logprobs": [{"token": "no", "logprob": value}]}
    found = answer_tokens({"logprobs": {"content": [sound, broken]}})
    assert [token.written for token in found] == ["yes"]
