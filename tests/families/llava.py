"""LLaVA's families, and those that put a square image's patches in the place of one token, or tiles of it.

Each function gives a small model from its real configuration, and its processor with its chat template in short.
"""

from typing import Any

import transformers

from tests.families.parts import CHATML, PATCH, SIDE, SQUARE, TEXT, VISION, Words, chat

hf: Any = transformers  # whose processors are not typed by what they take
Made = tuple[Any, Any]
_GRID = [[SIDE, SIDE], [2 * SIDE, SIDE], [SIDE, 2 * SIDE]]
_QWEN = {"model_type": "qwen2", **TEXT}
_CLIP = {"model_type": "clip_vision_model", **VISION}
_SIGLIP = {"model_type": "siglip_vision_model", **VISION}
_VICUNA = Words("</s>", "<s>", "<image>")
_CHATML = Words("<|im_end|>", "", "<|im_start|>", "<image>", "<video>")
_LLAVA_1_5 = (
    "{% for message in messages %}{{ message['role'].upper() + ': ' }}"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'text') %}{{ part['text'] + ' ' }}{% endfor %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


def llava() -> Made:
    """LLaVA 1.5, whose answers begin with a space."""
    config = hf.LlavaConfig(
        vision_config=_CLIP, text_config={"model_type": "llama", **TEXT}, image_token_index=_VICUNA.id("<image>")
    )
    processor = hf.LlavaProcessor(
        hf.CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size=SQUARE),
        _VICUNA.tokenizer(),
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=_LLAVA_1_5,
    )
    return hf.LlavaForConditionalGeneration(config), processor


def llava_next() -> Made:
    """LLaVA 1.6 Mistral: an image in tiles, as many as its shape asks for."""
    config = hf.LlavaNextConfig(
        vision_config=_CLIP,
        text_config={"model_type": "mistral", "sliding_window": None, **TEXT},
        image_token_index=_VICUNA.id("<image>"),
        image_grid_pinpoints=_GRID,
    )
    processor = hf.LlavaNextProcessor(
        hf.LlavaNextImageProcessor(size={"shortest_edge": SIDE}, crop_size=SQUARE, image_grid_pinpoints=_GRID),
        _VICUNA.tokenizer(),
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=chat("[INST] ", "", "<image>\n", "</s>", begin="<s>", user_end=" [/INST]"),
    )
    return hf.LlavaNextForConditionalGeneration(config), processor


def llava_onevision() -> Made:
    """Its template writes the model's turn otherwise once it has been said."""
    config = hf.LlavaOnevisionConfig(
        vision_config=_SIGLIP,
        text_config=_QWEN,
        image_token_index=_CHATML.id("<image>"),
        video_token_index=_CHATML.id("<video>"),
        image_grid_pinpoints=_GRID,
    )
    template = (
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + ' ' }}"
        "{% for part in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>' }}{% endfor %}"
        "{% for part in message['content'] | selectattr('type', 'equalto', 'text') %}{{ '\n' + part['text'] }}"
        "{% endfor %}{{ '<|im_end|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )
    processor = hf.LlavaOnevisionProcessor(
        hf.LlavaOnevisionImageProcessor(size=SQUARE, image_grid_pinpoints=_GRID),
        _CHATML.tokenizer(image_token="<image>", video_token="<video>"),
        hf.LlavaOnevisionVideoProcessor(),
        num_image_tokens=(SIDE // PATCH) ** 2,
        vision_feature_select_strategy="full",
        chat_template=template,
    )
    return hf.LlavaOnevisionForConditionalGeneration(config), processor


def internvl() -> Made:
    """A row of pixels for each crop, not for each image."""
    words = Words("<|im_end|>", "", "<|im_start|>", "<img>", "</img>", "<IMG_CONTEXT>", "<video>")
    config = hf.InternVLConfig(
        vision_config={**VISION, "image_size": [SIDE, SIDE], "patch_size": [PATCH, PATCH]},
        text_config=_QWEN,
        image_token_id=words.id("<IMG_CONTEXT>"),
        image_seq_length=4,
    )
    roles = {"start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>"}
    processor = hf.InternVLProcessor(
        hf.GotOcr2ImageProcessor(size=SQUARE, crop_to_patches=True, max_patches=4),
        words.tokenizer(**roles, video_token="<video>"),
        hf.InternVLVideoProcessor(),
        image_seq_length=4,
        chat_template=chat(*CHATML, "<IMG_CONTEXT>\n", "<|im_end|>", line="\n"),
    )
    return hf.InternVLForConditionalGeneration(config), processor


def gemma3() -> Made:
    """MedGemma's family; of its layers three in four look back through a window shorter than the prompts."""
    words = Words("<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>", "<start_of_image>", "<end_of_image>", "<soft>")
    window = {"sliding_window": 48, "layer_types": [*["sliding_attention"] * 3, "full_attention"], "head_dim": 16}
    config = hf.Gemma3Config(
        text_config={**TEXT, **window, "eos_token_id": [1, words.id("<end_of_turn>")]},
        vision_config=VISION,
        mm_tokens_per_image=4,
        boi_token_index=words.id("<start_of_image>"),
        eoi_token_index=words.id("<end_of_image>"),
        image_token_index=words.id("<soft>"),
    )
    tags = ("<start_of_turn>user\n", "<start_of_turn>model\n")
    processor = hf.Gemma3Processor(
        hf.Gemma3ImageProcessor(size=SQUARE),
        words.tokenizer(boi_token="<start_of_image>", eoi_token="<end_of_image>", image_token="<soft>"),
        chat_template=chat(*tags, "<start_of_image>", "<end_of_turn>", begin="<bos>", line="\n"),
        image_seq_length=4,
    )
    return hf.Gemma3ForConditionalGeneration(config), processor


def paligemma() -> Made:
    """It is not made for a conversation, and has no chat template."""
    words = Words("<eos>", "<bos>", "<image>")
    config = hf.PaliGemmaConfig(
        vision_config={**_SIGLIP, "projection_dim": 32},
        text_config={"model_type": "gemma", "head_dim": 16, **TEXT},
        image_token_index=words.id("<image>"),
        projection_dim=32,
        hidden_size=32,
    )
    reader: Any = hf.SiglipImageProcessor(size=SQUARE)
    reader.image_seq_length = (SIDE // PATCH) ** 2
    return hf.PaliGemmaForConditionalGeneration(config), hf.PaliGemmaProcessor(
        reader, words.tokenizer(image_token="<image>")
    )


_MISTRAL = Words("</s>", "<s>", "[INST]", "[/INST]", "[IMG]", "[IMG_BREAK]", "[IMG_END]")
_PIXTRAL = {
    "model_type": "pixtral",
    **VISION,
    "head_dim": 16,
    "rope_parameters": {"rope_theta": 1e4, "rope_type": "default"},
}


def _mistral(merge: int) -> Any:
    return hf.PixtralProcessor(
        hf.PixtralImageProcessor(size={"longest_edge": 2 * SIDE}, patch_size={"height": PATCH, "width": PATCH}),
        _MISTRAL.tokenizer(),
        patch_size=PATCH,
        spatial_merge_size=merge,
        chat_template=chat("[INST]", "", "[IMG]", "</s>", begin="<s>", user_end="[/INST]"),
    )


def pixtral() -> Made:
    """A LLaVA with Pixtral's tower, which reads images of any shape."""
    config = hf.LlavaConfig(
        vision_config=_PIXTRAL,
        text_config={"model_type": "mistral", "sliding_window": None, "head_dim": 16, **TEXT},
        image_token_index=_MISTRAL.id("[IMG]"),
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
    )
    return hf.LlavaForConditionalGeneration(config), _mistral(1)


def mistral3() -> Made:
    config = hf.Mistral3Config(
        vision_config=_PIXTRAL,
        text_config={"model_type": "mistral", "sliding_window": None, "head_dim": 16, **TEXT},
        image_token_index=_MISTRAL.id("[IMG]"),
        spatial_merge_size=2,
    )
    return hf.Mistral3ForConditionalGeneration(config), _mistral(2)
