"""Models that think: options are scored, and free text is read, behind the thoughts that the model itself writes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from preference import PreferencePair, train_adapter
from rag import LoadingOptions, NestedPrompt, Prompt, TransformersMLLM
from tests.families.families import write_family
from titrate import InputError, TitrateWarning

QUESTION, OPTIONS, BUDGET = "Is there an effusion?", ["yes", "no", "small left pleural effusion"], 12
REPORTS = ("Report [1]: Clear lungs.\n", "Report [2]: Large heart.\n")
TURN = "<|im_start|>assistant\n"


def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(3).integers(0, 256, (64, 97, 3), dtype=np.uint8))


def opened(folder: Path, tokens: int = BUDGET, **more: Any) -> TransformersMLLM:
    with pytest.warns(TitrateWarning, match=f"thinks before it answers: up to {tokens} tokens for every question and"):
        return TransformersMLLM.open(str(folder), device="cpu", loading=LoadingOptions(thought_tokens=tokens), **more)


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its template opens the thoughts; it never ends them."""
    return write_family("Qwen3-VL Thinking", tmp_path_factory.mktemp("endless") / "model")


def tagged(source: Path, folder: Path, loud: Callable[[Any, Any], None]) -> Path:
    """The model with a token for each tag, which `loud` lets it say."""
    model, processor = AutoModelForImageTextToText.from_pretrained(source), AutoProcessor.from_pretrained(source)
    processor.tokenizer.add_tokens(["<think>", "</think>"])
    torch.manual_seed(0)
    model.resize_token_embeddings(len(processor.tokenizer), mean_resizing=False)
    with torch.no_grad():
        loud(model, processor)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@torch.inference_mode()
def written(model: Any, processor: Any, text: str, tokens: int) -> list[int]:
    read = processor(text=[text], images=[[picture()]], return_tensors="pt")
    output = model.generate(**read, max_new_tokens=tokens, do_sample=False)
    return list(map(int, output[0, read["input_ids"].shape[1] :]))


@pytest.fixture(scope="module")
def ending(endless: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It ends its thoughts after a few tokens."""

    def end(model: Any, processor: Any) -> None:
        head = model.get_output_embeddings().weight
        fifth = written(model, processor, by_template(QUESTION), 5)[-1]
        head[processor.tokenizer.convert_tokens_to_ids("</think>")] = 1.5 * head[fifth]

    return tagged(endless, tmp_path_factory.mktemp("ending") / "model", end)


def by_template(text: str, opening: str = "<think>\n") -> str:
    image = "<|vision_start|><|image_pad|><|vision_end|>"
    return f"<|im_start|>user\n{image}{text}<|im_end|>\n{TURN}{opening}"


@torch.inference_mode()
def by_hand(folder: Path, text: str, budget: int) -> tuple[str, NDArray[np.float64]]:
    """The thoughts by `generate` alone, then every option read whole behind them by processor and model alone."""
    model, processor = AutoModelForImageTextToText.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    asked = by_template(text)
    said = processor.tokenizer.decode(written(model, processor, asked, budget)).split("</think>")[0]
    for token in processor.tokenizer.all_special_tokens:
        said = said.replace(token, " ")
    asked += f"{said.strip()}\n</think>\n\n"
    start = processor(text=[asked], images=[[picture()]], return_tensors="pt")["input_ids"].shape[1]
    found = []
    for option in OPTIONS:
        read = processor(text=[asked + option], images=[[picture()]], return_tensors="pt")
        table = torch.log_softmax(model(**read).logits[0, start - 1 : -1].double(), -1)
        found.append(float(table[torch.arange(len(table)), read["input_ids"][0, start:]].sum()))
    return asked, np.array(found)


def test_options_are_scored_behind_thoughts_that_end(ending: Path) -> None:
    mllm = opened(ending, 40)
    asked, expected = by_hand(ending, QUESTION, 40)
    assert mllm.texts([Prompt(picture(), QUESTION)]) == [asked]  # and no note of thoughts without an end
    assert mllm.score([Prompt(picture(), QUESTION)], [OPTIONS])[0] == pytest.approx(expected, abs=1e-4)


def test_each_k_has_thoughts_of_its_own_and_those_without_end_are_ended(endless: Path) -> None:
    mllm = opened(endless)
    prompt = NestedPrompt(picture(), "", REPORTS, (QUESTION,))
    with pytest.warns(TitrateWarning, match="does not end its thoughts within 12 tokens, on 3 of 3 prompts here"):
        (tables,) = mllm.score_nested([prompt], [[OPTIONS]], (0, 1, 2))
    texts = ["".join(REPORTS[:k]) + QUESTION for k in range(3)]
    found = [by_hand(endless, text, BUDGET) for text in texts]
    assert tables[0] == pytest.approx(np.stack([scores for _, scores in found]), abs=1e-4)
    assert len({asked.split(TURN)[1] for asked, _ in found}) == 3


def test_an_answer_does_not_depend_on_what_is_asked_beside_it(endless: Path) -> None:
    mllm = opened(endless)
    asked = [Prompt(picture(), QUESTION), Prompt(picture(), "".join(REPORTS) + QUESTION)]
    with pytest.warns(TitrateWarning, match="does not end its thoughts"):
        together = mllm.score(asked, [OPTIONS] * 2)
    for prompt, scores in zip(asked, together, strict=True):
        assert mllm.score([prompt], [OPTIONS])[0] == pytest.approx(scores, abs=1e-4)


def test_free_text_is_what_follows_the_thoughts(ending: Path) -> None:
    model, processor = AutoModelForImageTextToText.from_pretrained(ending), AutoProcessor.from_pretrained(ending)
    asked, _ = by_hand(ending, QUESTION, 40)
    expected = processor.tokenizer.decode(written(model, processor, asked, 6), skip_special_tokens=True)
    assert "<think>" not in expected
    assert opened(ending, 40).generate([Prompt(picture(), QUESTION)], 6) == [expected.strip()]


def test_thoughts_that_no_template_tells_of(endless: Path, tmp_path: Path) -> None:
    """Its first token shows them: the template ends with the model's turn."""

    def begin(model: Any, processor: Any) -> None:
        template = processor.chat_template
        processor.chat_template = template[: template.rindex("{% if add_generation_prompt %}")]
        first = written(model, processor, by_template(QUESTION, ""), 1)[0]
        head = model.get_output_embeddings().weight
        head[processor.tokenizer.convert_tokens_to_ids("<think>")] = 3 * head[first]

    folder = tagged(endless, tmp_path / "model", begin)
    mllm = opened(folder)
    assert mllm.render("Why?", " It hurts.\n").endswith(f"{TURN}<think>It hurts.\n</think>\n\n")


def test_what_decides_the_thoughts_is_in_the_fingerprint(endless: Path) -> None:
    assert len({opened(endless, tokens).fingerprint for tokens in (BUDGET, BUDGET, BUDGET + 1)}) == 2


def test_a_prompt_that_leaves_no_room_for_thoughts(endless: Path) -> None:
    mllm = opened(endless, 2040)  # of 2048
    with pytest.raises(InputError, match="the model may think for 2040, but it reads at most 2048; lower k"):
        mllm.score([Prompt(picture(), QUESTION)], [OPTIONS])


def test_reports_leave_room_for_thoughts(endless: Path) -> None:
    assert opened(endless, 800).tokens_per_report < opened(endless, 8).tokens_per_report - 50


def test_a_model_that_thinks_is_not_trained(endless: Path, tmp_path: Path) -> None:
    picture().save(tmp_path / "image.png")
    pair = PreferencePair("1", tmp_path / "image.png", QUESTION, "yes", "no")
    with (
        pytest.warns(TitrateWarning, match="thinks before it answers"),
        pytest.raises(InputError, match="what is trained would not be what is scored; train a variant"),
    ):
        train_adapter([pair], str(endless), tmp_path / "adapter", device="cpu")
