"""Shortcuts are used only where a model is scored by them as by the plainest computation; else it is told."""

from copy import deepcopy
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import LlavaForConditionalGeneration

from rag import MLLM, NestedPrompt, Prompt, TransformersMLLM
from rag.models import prefix_scoring
from rag.models.self_check import Ways, score_from_scratch
from tests.families.families import write_family
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


def without_cross_attention(config: Any) -> Any:
    """The configuration of a decoder, as if all its layers saw text only."""
    plain = deepcopy(config)
    plain.cross_attention_layers = None
    return plain


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_what_is_wrong_when_contexts_are_shared_is_found(
    tmp_path: Path, dtype: str, monkeypatch: pytest.MonkeyPatch, pictures: list[Image.Image]
) -> None:
    """Llama 3.2 Vision, whose cross-attention is not told of packed suffixes, if it were not refused by its layers."""
    real = prefix_scoring.layer_types
    monkeypatch.setattr(prefix_scoring, "layer_types", lambda config: real(without_cross_attention(config)))
    mllm = TransformersMLLM.open(str(write_family("Llama 3.2 Vision", tmp_path / "model")), device="cpu", dtype=dtype)
    prompts, options = [NestedPrompt(pictures[0], "", (LONG,), (QUESTION,))], [[OPTIONS]]
    with pytest.warns(TitrateWarning, match=r"cannot share reports.*scores differ by .* on average; rounding by"):
        found = mllm.score_nested(prompts, options, (0, 1))
    assert (found[0][0] == MLLM.score_nested(mllm, prompts, options, (0, 1))[0][0]).all()


@pytest.mark.parametrize("family", ["Qwen3-VL", "Gemma 3 (MedGemma)"])
def test_rounding_in_bfloat16_is_no_reason_not_to_share(tmp_path: Path, family: str) -> None:
    """Their scores differ by up to 0.2 nat, as they do by rounding."""
    mllm = TransformersMLLM.open(str(write_family(family, tmp_path / "model")), device="cpu", dtype="bfloat16")
    assert mllm.ways == Ways()
    assert prefix_scoring.why_not_shared(mllm, lambda *asked: MLLM.score_nested(mllm, *asked)) == ""
