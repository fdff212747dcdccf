"""Small models with random weights of the architectures that users bring, made from their configurations.

Their vocabulary joins the end of a line with the next line's beginning, so that the tokens of a prompt's pieces put
together are not the tokens of the prompt.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn
from transformers import (
    CLIPImageProcessor,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3ImageProcessor,
    Gemma3Processor,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

from rag import PromptTemplate

SPECIAL = ("<pad>", "<eos>", "<image>", "<user>", "<assistant>", "<begin>", "<end>", "<video>")
SIDE, VOCABULARY = 56, 420
TEMPLATE = (
    "{% for message in messages %}<{{ message.role }}>{% for part in message.content %}"
    "{{ IMAGE if part.type == 'image' else part.text }}{% endfor %}"
    "{% if message.role == 'assistant' %}<eos>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
TEXT = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "max_position_embeddings": 2048,
    "pad_token_id": 0,
    "bos_token_id": None,
    "eos_token_id": 1,
}
VISION = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


def make_tokenizer(**roles: str) -> PreTrainedTokenizerFast:
    """A vocabulary learnt on prompts as a whole, line ends and all."""
    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    words.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    prompt = PromptTemplate()
    message = prompt.render("Is it?", ["yes", "no"], ["Clear lungs.", "Large heart.", "Normal."])
    words.train_from_iterator([message, prompt.render("Where?", ["yes", "no"], [])] * 20, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="<pad>",
        eos_token="<eos>",
        extra_special_tokens=roles,
        additional_special_tokens=list(SPECIAL[2:]),
        model_max_length=2048,
        padding_side="left",
    )


def make_llava(**decoder: Any) -> tuple[nn.Module, Any]:
    config = LlavaConfig(
        vision_config={"model_type": "clip_vision_model", **VISION, "image_size": SIDE, "patch_size": 14},
        text_config={"model_type": "llama", **TEXT, **decoder},
        image_token_index=SPECIAL.index("<image>"),
    )
    size = {"height": SIDE, "width": SIDE}
    processor = LlavaProcessor(
        CLIPImageProcessor(size=size, crop_size=size),
        make_tokenizer(),
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token="<image>",
        chat_template=TEMPLATE.replace("IMAGE", "'<image>'"),
    )
    return LlavaForConditionalGeneration(config), processor


def make_qwen() -> tuple[nn.Module, Any]:
    config = Qwen2_5_VLConfig(
        text_config={**TEXT, "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3]}},
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "out_hidden_size": 32,
            "fullatt_block_indexes": [1],
            "window_size": 56,
        },
        image_token_id=SPECIAL.index("<image>"),
        video_token_id=SPECIAL.index("<video>"),
        vision_start_token_id=SPECIAL.index("<begin>"),
        vision_end_token_id=SPECIAL.index("<end>"),
    )
    bounds = {"shortest_edge": 56 * 56, "longest_edge": 112 * 112}
    processor = Qwen2_5_VLProcessor(
        Qwen2VLImageProcessor(size=bounds),
        make_tokenizer(image_token="<image>", video_token="<video>"),
        Qwen2VLVideoProcessor(),
        chat_template=TEMPLATE.replace("IMAGE", "'<begin><image><end>'"),
    )
    return Qwen2_5_VLForConditionalGeneration(config), processor


def make_gemma() -> tuple[nn.Module, Any]:
    """Of its layers three in four look back through a window shorter than the prompts."""
    config = Gemma3Config(
        text_config={**TEXT, "sliding_window": 48, "layer_types": [*["sliding_attention"] * 3, "full_attention"]},
        vision_config={**VISION, "image_size": SIDE, "patch_size": 14},
        mm_tokens_per_image=4,
        boi_token_index=SPECIAL.index("<begin>"),
        eoi_token_index=SPECIAL.index("<end>"),
        image_token_index=SPECIAL.index("<image>"),
    )
    processor = Gemma3Processor(
        Gemma3ImageProcessor(size={"height": SIDE, "width": SIDE}),
        make_tokenizer(boi_token="<begin>", eoi_token="<end>", image_token="<image>"),
        chat_template=TEMPLATE.replace("IMAGE", "'<begin>'"),
        image_seq_length=4,
    )
    return Gemma3ForConditionalGeneration(config), processor


ARCHITECTURES: dict[str, Callable[[], tuple[nn.Module, Any]]] = {
    "llava": make_llava,
    "qwen2_5_vl": make_qwen,
    "gemma3": make_gemma,
}
UNSUITED: dict[str, Callable[[], tuple[nn.Module, Any]]] = {
    "lfm2": lambda: make_llava(model_type="lfm2", layer_types=["conv", "full_attention"] * 2, block_dim=32),
    "two-way": lambda: make_llava(model_type="gemma3_text", use_bidirectional_attention=True, sliding_window=4096),
}
"""Of which each k has to be scored on its own."""


def write_model(architecture: str, folder: Path) -> Path:
    """Write a transformers folder whose model looks at image, contexts and question, and has opinions."""
    torch.manual_seed(5)
    model, processor = {**ARCHITECTURES, **UNSUITED}[architecture]()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1:  # normalisation stays as it is
                weight.normal_(std=1.0 if "embed_tokens" in name else 1.5 / weight[0].numel() ** 0.5)
    model.eval().save_pretrained(folder)  # type: ignore[operator]
    processor.save_pretrained(folder)
    return folder
