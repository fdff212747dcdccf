"""Qwen's families and those that read images as they do: a grid of patches of any size, positions in three dimensions.

Each function gives a small model from its real configuration, and its processor with its chat template in short.
"""

from typing import Any

import transformers

from tests.families.parts import CHATML, TEXT, Words, chat

hf: Any = transformers  # whose processors are not typed by what they take
Made = tuple[Any, Any]
_VISION = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 32}
_MROPE = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0}
_WORDS = Words("<|im_end|>", "", "<|im_start|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
_TEMPLATE = chat(*CHATML, "<|vision_start|><|image_pad|><|vision_end|>", "<|im_end|>", line="\n")
_THOUGHTS = (
    "{% if add_generation_prompt and enable_thinking is defined and not enable_thinking %}"
    "{{ '<think>\n\n</think>\n\n' }}{% endif %}"
)
_IDS = {
    "image_token_id": _WORDS.id("<|image_pad|>"),
    "video_token_id": _WORDS.id("<|video_pad|>"),
    "vision_start_token_id": _WORDS.id("<|vision_start|>"),
    "vision_end_token_id": _WORDS.id("<|vision_end|>"),
}


def _bounds(side: int) -> dict[str, int]:
    return {"shortest_edge": side * side, "longest_edge": 4 * side * side}


def _tokenizer() -> Any:
    return _WORDS.tokenizer(
        image_token="<|image_pad|>",
        video_token="<|video_pad|>",
        vision_bos_token="<|vision_start|>",
        vision_eos_token="<|vision_end|>",
    )


def qwen2_vl() -> Made:
    vision = {"depth": 2, "embed_dim": 32, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 2}
    config = hf.Qwen2VLConfig(text_config={**TEXT, "rope_parameters": _MROPE}, vision_config=vision, **_IDS)
    reader = hf.Qwen2VLImageProcessor(size=_bounds(56))
    processor = hf.Qwen2VLProcessor(reader, _tokenizer(), hf.Qwen2VLVideoProcessor(), chat_template=_TEMPLATE)
    return hf.Qwen2VLForConditionalGeneration(config), processor


def qwen2_5_vl() -> Made:
    vision = {**_VISION, "fullatt_block_indexes": [1], "window_size": 56}
    config = hf.Qwen2_5_VLConfig(text_config={**TEXT, "rope_parameters": _MROPE}, vision_config=vision, **_IDS)
    reader = hf.Qwen2VLImageProcessor(size=_bounds(56))
    processor = hf.Qwen2_5_VLProcessor(reader, _tokenizer(), hf.Qwen2VLVideoProcessor(), chat_template=_TEMPLATE)
    return hf.Qwen2_5_VLForConditionalGeneration(config), processor


def _reader_of_3() -> Any:
    return hf.Qwen2VLImageProcessor(size=_bounds(64), patch_size=16, image_mean=[0.5] * 3, image_std=[0.5] * 3)


def _third(template: str) -> Any:
    return hf.Qwen3VLProcessor(_reader_of_3(), _tokenizer(), hf.Qwen3VLVideoProcessor(), chat_template=template)


_VISION_3 = {**_VISION, "num_position_embeddings": 64, "deepstack_visual_indexes": [0, 1]}
_TEXT_3 = {**TEXT, "head_dim": 16, "rope_parameters": {**_MROPE, "mrope_interleaved": True}}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}


def qwen3_vl() -> Made:
    config = hf.Qwen3VLConfig(text_config=_TEXT_3, vision_config=_VISION_3, **_IDS)
    return hf.Qwen3VLForConditionalGeneration(config), _third(_TEMPLATE)


def qwen3_vl_moe() -> Made:
    config = hf.Qwen3VLMoeConfig(text_config={**_TEXT_3, **_EXPERTS}, vision_config=_VISION_3, **_IDS)
    return hf.Qwen3VLMoeForConditionalGeneration(config), _third(_TEMPLATE)


def qwen3_vl_thinking() -> Made:
    """The template begins thoughts, which it has no switch to leave out."""
    model, _ = qwen3_vl()
    return model, _third(_TEMPLATE + "{% if add_generation_prompt %}{{ '<think>\n' }}{% endif %}")


def qwen3_5() -> Made:
    """Three layers in four keep a state in the place of keys and values."""
    text = {**_TEXT_3, "linear_num_key_heads": 2, "linear_num_value_heads": 2, "linear_key_head_dim": 16}
    text |= {"linear_value_head_dim": 16}
    text["rope_parameters"] = {**_TEXT_3["rope_parameters"], "partial_rotary_factor": 1.0}
    vision = {key: value for key, value in _VISION_3.items() if key != "deepstack_visual_indexes"}
    config = hf.Qwen3_5Config(text_config=text, vision_config=vision, **_IDS)
    return hf.Qwen3_5ForConditionalGeneration(config), _third(_TEMPLATE + _THOUGHTS)


_GLM = Words(
    "<|endoftext|>", "", "[gMASK]", "<sop>", "<|user|>", "<|assistant|>", "<|image|>", "<|video|>",
    "<|begin_of_image|>", "<|end_of_image|>", "<|begin_of_video|>", "<|end_of_video|>",
)  # fmt: skip


def glm4v() -> Made:
    """Nothing but the user's next turn ends an answer."""
    text = {**TEXT, "rope_parameters": {**_MROPE, "partial_rotary_factor": 1.0}}
    text["eos_token_id"] = [1, _GLM.id("<|user|>")]
    config = hf.Glm4vConfig(
        text_config=text,
        vision_config={**_VISION, "image_size": 56, "patch_size": 14},
        image_token_id=_GLM.id("<|image|>"),
        video_token_id=_GLM.id("<|video|>"),
        image_start_token_id=_GLM.id("<|begin_of_image|>"),
        image_end_token_id=_GLM.id("<|end_of_image|>"),
        video_start_token_id=_GLM.id("<|begin_of_video|>"),
        video_end_token_id=_GLM.id("<|end_of_video|>"),
    )
    template = chat(
        "<|user|>\n", "<|assistant|>\n", "<|begin_of_image|><|image|><|end_of_image|>", "", begin="[gMASK]<sop>"
    )
    processor = hf.Glm4vProcessor(
        hf.Glm4vImageProcessor(size={"shortest_edge": 56 * 56, "longest_edge": 4 * 56 * 56}),
        _GLM.tokenizer(image_token="<|image|>", video_token="<|video|>"),
        hf.Glm4vVideoProcessor(),
        chat_template=template,
    )
    return hf.Glm4vForConditionalGeneration(config), processor
