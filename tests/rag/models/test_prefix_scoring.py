"""Scores of all k in one pass equal the scores of each k on its own, whatever the architecture, batch or vocabulary."""

from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from PIL import Image

from rag import MLLM, Prompt, PromptTemplate, TransformersMLLM
from rag.models.base import NestedPrompt
from rag.models.option_tokens import OptionPrefix
from rag.models.packing import Suffix, chunks, pack
from tests.rag.architectures import ARCHITECTURES, write_model
from titrate import InputError, TitrateWarning

K = 4
KS = range(K + 1)
YES_NO: tuple[str, ...] = ("yes", "no")
PLACES: tuple[str, ...] = ("left lung", "left pleura", "heart", "a")
REPORTS = ("Clear lungs.", "Large heart, wide aorta. " * 3, "µm 漢", "No focal consolidation; lines in place.")
Options = list[list[tuple[str, ...]]]


@pytest.fixture(scope="module", params=list(ARCHITECTURES))
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TransformersMLLM:
    return TransformersMLLM.open(str(write_model(request.param, tmp_path_factory.mktemp("model"))), device="cpu")


@pytest.fixture
def asked(pictures: list[Image.Image]) -> tuple[list[NestedPrompt], Options]:
    """Questions about three images: one, two and three of them, after four, three and no contexts."""
    template = PromptTemplate()
    questions = (("Is there an effusion?", YES_NO), ("Where is it?", PLACES), ("Is there a line?", YES_NO))
    prompts: list[NestedPrompt] = []
    options: Options = []
    for number, (picture, count) in enumerate(zip(pictures, (4, 3, 0), strict=True)):
        contexts = tuple(template.context(k, report) for k, report in enumerate(REPORTS[:count], start=1))
        chosen = questions[: number + 1]
        closings = tuple(template.closing(text, choices) for text, choices in chosen)
        prompts.append(NestedPrompt(picture, template.opening(), contexts, closings))
        options.append([choices for _, choices in chosen])
    return prompts, options


def flat(scores: list[list[Any]]) -> Any:
    return np.concatenate([table.ravel() for tables in scores for table in tables])


def decisions(scores: list[list[Any]]) -> list[list[int]]:
    return [table.argmax(1).tolist() for tables in scores for table in tables]


@pytest.mark.parametrize("batch_tokens", [40, 400, 8192])
def test_scores_equal_those_of_each_k_alone(
    model: TransformersMLLM, asked: tuple[list[NestedPrompt], Options], batch_tokens: int
) -> None:
    """Warnings are errors here, so this fails where the model falls back."""
    nested, alone = model.score_nested(*asked, KS, batch_tokens), MLLM.score_nested(model, *asked, KS)
    assert [[table.shape for table in tables] for tables in nested] == [
        [(K + 1, len(choices)) for choices in sets] for sets in asked[1]
    ]
    assert flat(nested) == pytest.approx(flat(alone), abs=1e-4)
    assert decisions(nested) == decisions(alone)


def test_models_have_opinions(model: TransformersMLLM, asked: tuple[list[NestedPrompt], Options]) -> None:
    """Scores move with every context and with the image by far more than they may differ."""
    prompts, options = asked
    table = model.score_nested(prompts, options, KS)[0][0]
    assert (np.abs(np.diff(table, axis=0)).max(1) > 0.01).all()
    other = replace(prompts[0], image=prompts[1].image)
    assert (np.abs(model.score_nested([other], options[:1], KS)[0][0] - table).max(1) > 0.01).all()


def test_pieces_have_other_tokens_than_prompts(
    model: TransformersMLLM, asked: tuple[list[NestedPrompt], Options]
) -> None:
    """The vocabulary of these tests sets the trap that comparing whole prompts avoids."""
    prompt = asked[0][0]
    pieces = [prompt.opening, *prompt.contexts, prompt.closings[0]]
    whole = model.token_ids([prompt.at(0, K).text])[0]
    assert whole != [token for piece in pieces for token in model.token_ids([piece])[0]]


def test_each_k_alone_is_each_prompt_alone(model: TransformersMLLM, asked: tuple[list[NestedPrompt], Options]) -> None:
    """What nested scores are compared with: k contexts, all where there are fewer, then the question."""
    prompts, options = asked
    tables = MLLM.score_nested(model, prompts, options, KS)
    text = prompts[1].opening + "".join(prompts[1].contexts[:2]) + prompts[1].closings[1]
    assert prompts[1].at(1, 2).text == text
    expected = model.score([Prompt(prompts[1].image, text)], [PLACES])[0]
    assert tables[1][1][2] == pytest.approx(expected, abs=1e-4)
    assert (tables[1][0][3] == tables[1][0][4]).all()
    assert (tables[2][0] == tables[2][0][0]).all()


def test_fewer_contexts_than_there_are(model: TransformersMLLM, asked: tuple[list[NestedPrompt], Options]) -> None:
    few, all_of_them = model.score_nested(*asked, range(2)), model.score_nested(*asked, KS)
    for some, every in zip(few, all_of_them, strict=True):
        for table, longer in zip(some, every, strict=True):
            assert table == pytest.approx(longer[:2], abs=1e-4)


def test_forward_passes_are_few_and_bounded(model: TransformersMLLM, asked: tuple[list[NestedPrompt], Options]) -> None:
    model.score_nested(*asked, KS)
    shapes: list[torch.Size] = []
    hook = model.base.register_forward_pre_hook(
        lambda module, args, kwargs: shapes.append(kwargs["input_ids"].shape), with_kwargs=True
    )
    try:
        model.score_nested(*asked, KS)
        assert len(shapes) <= 6  # at most a shared prefix and its suffixes for each image
        nested = sum(shape.numel() for shape in shapes)
        shapes.clear()
        model.score_nested(*asked, KS, 400)
        assert max(shape.numel() for shape in shapes) <= 400
        shapes.clear()
        MLLM.score_nested(model, *asked, KS)
        assert nested < sum(shape.numel() for shape in shapes) / 2
    finally:
        hook.remove()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_adapters_and_half_precision(tiny_folder: Path, asked: tuple[list[NestedPrompt], Options], dtype: str) -> None:
    opened = TransformersMLLM.open(str(tiny_folder), device="cpu", dtype=dtype)
    torch.manual_seed(0)
    config = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    adapted = TransformersMLLM(get_peft_model(opened.model, config).eval(), opened.processor, "")
    nested, alone = adapted.score_nested(*asked, KS), MLLM.score_nested(adapted, *asked, KS)
    assert flat(nested) == pytest.approx(flat(alone), abs=1e-4 if dtype == "float32" else 0.3)
    with adapted.model.disable_adapter():
        assert np.abs(flat(adapted.score_nested(*asked, KS)) - flat(nested)).max() > 0.01


def test_the_shipped_model(mllm: TransformersMLLM, asked: tuple[list[NestedPrompt], Options]) -> None:
    nested, alone = mllm.score_nested(*asked, KS), MLLM.score_nested(mllm, *asked, KS)
    assert flat(nested) == pytest.approx(flat(alone), abs=1e-4)
    assert decisions(nested) == decisions(alone)


def test_nothing_asked(mllm: TransformersMLLM, asked: tuple[list[NestedPrompt], Options]) -> None:
    assert mllm.score_nested([], [], KS) == []
    prompts = [replace(asked[0][0], closings=()), asked[0][1]]
    nothing, something = mllm.score_nested(prompts, [[], asked[1][1]], KS)
    assert (nothing, len(something)) == ([], 2)


def test_a_prompt_longer_than_the_model_reads(
    mllm: TransformersMLLM, asked: tuple[list[NestedPrompt], Options]
) -> None:
    """Also where only the second question is too long."""
    most = mllm.base.config.get_text_config().max_position_embeddings
    prompt = replace(asked[0][0], closings=(asked[0][0].closings[0], "漢 " * most))
    with pytest.raises(InputError, match=rf"reads at most {most}; lower k"):
        mllm.score_nested([prompt], [[YES_NO, YES_NO]], KS)


def test_an_architecture_that_cannot_share_contexts_says_so_once(
    tmp_path: Path, asked: tuple[list[NestedPrompt], Options]
) -> None:
    """A decoder with convolutions keeps no keys and values."""
    opened = TransformersMLLM.open(str(write_model("lfm2", tmp_path)), device="cpu")
    with pytest.warns(RuntimeWarning, match="cannot share reports.*layers of type conv.*each k is scored on its own"):
        scores = opened.score_nested(*asked, KS)
    assert (flat(scores) == flat(MLLM.score_nested(opened, *asked, KS))).all()
    assert (flat(opened.score_nested(*asked, KS)) == flat(scores)).all()  # a second warning would be an error


def test_mask_by_hand() -> None:
    """A shared prefix of three tokens after one of padding.

    A prompt of two more tokens shares two of them, and an option of two tokens follows it; another shares all three.
    """
    two_tokens, one_token = OptionPrefix((8,), {0: [8, 9]}), OptionPrefix((), {1: [7]})
    packed = pack([[Suffix(2, [5, 6], [two_tokens, one_token], 0, 0), Suffix(3, [4], [one_token], 0, 1)]], pad_id=0)
    assert packed.ids.tolist() == [[5, 6, 8, 4]]
    assert packed.positions.tolist() == [[2, 3, 4, 3]]
    assert (packed.logits_to_keep, packed.columns) == (3, [[[0, 1, 0], [2]]])
    full = packed.mask(torch.tensor([1]), prefix_length=4, window=None)[0, 0].int().tolist()
    assert full == [
        [0, 1, 1, 0, 1, 0, 0, 0],
        [0, 1, 1, 0, 1, 1, 0, 0],
        [0, 1, 1, 0, 1, 1, 1, 0],
        [0, 1, 1, 1, 0, 0, 0, 1],
    ]
    near = packed.mask(torch.tensor([1]), prefix_length=4, window=2)[0, 0].int().tolist()
    assert near == [
        [0, 0, 1, 0, 1, 0, 0, 0],
        [0, 0, 0, 0, 1, 1, 0, 0],
        [0, 0, 0, 0, 0, 1, 1, 0],
        [0, 0, 0, 1, 0, 0, 0, 1],
    ]


def test_packing_rows_of_different_lengths() -> None:
    one_token = OptionPrefix((), {0: [7]})
    packed = pack([[Suffix(2, [5, 6, 4], [one_token], 0, 0)], [Suffix(1, [3], [one_token], 0, 0)], []], pad_id=9)
    assert packed.ids.tolist() == [[5, 6, 4], [9, 9, 3], [9, 9, 9]]
    assert packed.columns == [[[0]], [[0]], []]
    sees = packed.mask(torch.tensor([0, 0, 0]), prefix_length=2, window=None)
    assert sees.any(-1).all()  # a token that sees nothing, not even itself, would be no number
    assert not sees[1, 0, 2, 2:4].any()


def test_chunks_hold_at_most_so_many_tokens() -> None:
    one_token = OptionPrefix((), {0: [7]})
    suffixes = [Suffix(1, [0] * length, [one_token], 0, k) for k, length in enumerate((3, 3, 2, 9, 1))]
    assert [[suffix.length for suffix in chunk] for chunk in chunks(suffixes, 6)] == [[3, 3], [2], [9], [1]]


def test_only_the_numbers_asked_for_are_read(tiny: TransformersMLLM, asked: tuple[list[NestedPrompt], Options]) -> None:
    everything = tiny.score_nested(*asked, range(K + 3))
    some = tiny.score_nested(*asked, [0, 3, K + 2])
    for table, chosen in zip(chain(*everything), chain(*some), strict=True):
        np.testing.assert_allclose(chosen, table[[0, 3, K + 2]], atol=1e-5)


def test_one_number_is_scored_as_its_prompt_is(
    tiny: TransformersMLLM, asked: tuple[list[NestedPrompt], Options]
) -> None:
    prompts, options = asked
    for prompt, sets, tables in zip(prompts, options, tiny.score_nested(prompts, options, [2]), strict=True):
        for question, (choices, table) in enumerate(zip(sets, tables, strict=True)):
            assert table.shape == (1, len(choices))
            [alone] = tiny.score([prompt.at(question, 2)], [choices])
            np.testing.assert_allclose(table[0], alone, atol=1e-5)


def test_a_call_that_shares_nothing_does_not_count_as_the_comparison(
    tmp_path: Path, asked: tuple[list[NestedPrompt], Options]
) -> None:
    """Of a model that cannot share reports: reading one number only must not vouch for reading several."""
    opened = TransformersMLLM.open(str(write_model("lfm2", tmp_path / "model")), device="cpu")
    prompts, options = asked
    opened.score_nested(prompts, options, [K + 1, K + 2])  # all contexts, twice
    with pytest.warns(TitrateWarning, match="cannot share reports"):
        scores = opened.score_nested(prompts, options, KS)
    assert (flat(scores) == flat(MLLM.score_nested(opened, prompts, options, KS))).all()


@pytest.mark.parametrize("ks", [[], [2, 1], [1, 1], [-1, 0]])
def test_numbers_that_do_not_rise_are_refused(
    tiny: TransformersMLLM, asked: tuple[list[NestedPrompt], Options], ks: list[int]
) -> None:
    with pytest.raises(ValueError, match="0 or more and rise"):
        tiny.score_nested(*asked, ks)
