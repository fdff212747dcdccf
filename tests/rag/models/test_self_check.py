"""Shortcuts are used only where a model is scored by them as by the plainest computation; else it is told."""

from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import LlavaForConditionalGeneration

from rag import Prompt, TransformersMLLM
from rag.models.self_check import Ways, score_from_scratch
from tests.rag.architectures import write_model
from titrate import InputError, TitrateWarning

QUESTION, OPTIONS = "Is there an effusion?", ["yes", "no", "left lung", "left pleura"]
LONG = "Report [1]: Large heart, wide aorta.\n" * 9 + QUESTION


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model("llava", tmp_path_factory.mktemp("llava"))


@pytest.fixture
def asked(pictures: list[Image.Image]) -> list[Prompt]:
    return [Prompt(pictures[0], QUESTION), Prompt(pictures[1], LONG)]


@torch.inference_mode()
def by_hand(mllm: TransformersMLLM, prompt: Prompt, options: list[str]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Teacher forcing by processor and model alone, of options of which none begins another."""
    text, found = mllm.render(prompt.text), []
    for option in options:
        whole = mllm.processor(text=[text + option], images=[[prompt.image]], return_tensors="pt")
        before = mllm.processor(text=[text], images=[[prompt.image]], return_tensors="pt")["input_ids"].shape[1]
        rows = torch.log_softmax(mllm.model(**whole).logits[0, before - 1 : -1].double(), -1)
        found.append(float(rows[torch.arange(len(rows)), whole["input_ids"][0, before:]].sum()))
    return np.array(found)


def test_an_ordinary_model_may_take_every_shortcut(llava: Path, asked: list[Prompt]) -> None:
    mllm = TransformersMLLM.open(str(llava), device="cpu")
    assert mllm.ways == Ways()
    for prompt, scores in zip(asked, mllm.score(asked, [OPTIONS] * 2), strict=True):
        assert scores == pytest.approx(by_hand(mllm, prompt, OPTIONS), abs=1e-4)
        assert score_from_scratch(mllm, prompt, OPTIONS) == pytest.approx(scores, abs=1e-4)


def test_a_model_that_gives_all_logits_whatever_it_is_asked_for(
    llava: Path, asked: list[Prompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fourteen architectures take `logits_to_keep` and do nothing with it."""
    real = LlavaForConditionalGeneration.forward

    def forward(self: Any, *args: Any, logits_to_keep: int = 0, **kwargs: Any) -> Any:
        return real(self, *args, **kwargs)

    forward.__signature__ = signature(real)  # type: ignore[attr-defined]
    expected = TransformersMLLM.open(str(llava), device="cpu").score(asked, [OPTIONS] * 2)
    monkeypatch.setattr(LlavaForConditionalGeneration, "forward", forward)
    found = TransformersMLLM.open(str(llava), device="cpu").score(asked, [OPTIONS] * 2)
    assert np.stack(found) == pytest.approx(np.stack(expected), abs=1e-5)


def test_a_model_that_reads_padding_is_given_one_prompt_after_another(
    llava: Path, asked: list[Prompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = LlavaForConditionalGeneration.forward

    def forward(self: Any, *args: Any, attention_mask: Any = None, position_ids: Any = None, **kwargs: Any) -> Any:
        return real(self, *args, **kwargs)

    forward.__signature__ = signature(real)  # type: ignore[attr-defined]
    expected = TransformersMLLM.open(str(llava), device="cpu").score(asked, [OPTIONS] * 2)
    monkeypatch.setattr(LlavaForConditionalGeneration, "forward", forward)
    with pytest.warns(TitrateWarning, match=r"not read in the usual way \(scores differ by .*one prompt after another"):
        mllm = TransformersMLLM.open(str(llava), device="cpu")
    assert mllm.ways == Ways(batch=False)
    assert np.stack(mllm.score(asked, [OPTIONS] * 2)) == pytest.approx(np.stack(expected), abs=1e-4)


def test_a_model_whose_tokens_see_later_ones_scores_single_tokens_only(tmp_path: Path, asked: list[Prompt]) -> None:
    folder = write_model("two-way", tmp_path / "model")
    with pytest.warns(TitrateWarning, match=r"its tokens see later ones.*answers of one token only"):
        mllm = TransformersMLLM.open(str(folder), device="cpu")
    assert not mllm.ways.causal
    with pytest.raises(InputError, match="answers of one token only can be scored; give the options letters"):
        mllm.score(asked, [OPTIONS] * 2)
    with torch.inference_mode():
        for prompt, scores in zip(asked, mllm.score(asked, [["a", "b"]] * 2), strict=True):
            read = mllm.processor(text=[mllm.render(prompt.text)], images=[[prompt.image]], return_tensors="pt")
            row = torch.log_softmax(mllm.model(**read).logits[0, -1].double(), -1)
            ids = [mllm.processor.tokenizer(letter).input_ids[0] for letter in "ab"]
            assert scores == pytest.approx(row[ids].numpy(), abs=1e-4)


def test_a_model_that_does_not_look_at_the_image_is_refused(llava: Path, tmp_path: Path) -> None:
    folder = write_model("llava", tmp_path / "blind")
    weights = load_file(folder / "model.safetensors")
    blind = {name: tensor * 0 if "projector" in name else tensor for name, tensor in weights.items()}
    save_file(blind, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="gives the same scores whatever the image shows"):
        TransformersMLLM.open(str(folder), device="cpu")
