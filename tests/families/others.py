"""Families that read images in ways of their own: cross-attention, chunks, tiles named in the text, two towers.

Each function gives a small model from its real configuration, and its processor with its chat template in short.
"""

from typing import Any

import transformers

from tests.families.parts import CHATML, LLAMA_3, PATCH, SIDE, SQUARE, TEXT, VISION, Words, chat

hf: Any = transformers  # whose processors are not typed by what they take
Made = tuple[Any, Any]
_IDEFICS = Words(
    "<|endoftext|>", "", "<|im_start|>", "<end_of_utterance>", "<image>", "<fake_token_around_image>", "<global-img>",
    *(f"<row_{row}_col_{column}>" for row in range(1, 5) for column in range(1, 5)),
)  # fmt: skip
IDEFICS_CHAT = (
    "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}"
    "{% if message['content'][0]['type'] == 'image' %}{{ ':' }}{% else %}{{ ': ' }}{% endif %}"
    "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{ line['text'] }}"
    "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
_EDGES = {"size": {"longest_edge": 2 * SIDE}, "max_image_size": {"longest_edge": SIDE}}
_IDEFICS_ROLES = {
    "image_token": "<image>",
    "fake_image_token": "<fake_token_around_image>",
    "global_image_token": "<global-img>",
    "end_of_utterance_token": "<end_of_utterance>",
}


def idefics3() -> Made:
    """Answers begin with a space, behind "Assistant:"."""
    config = hf.Idefics3Config(
        vision_config=VISION,
        text_config={"model_type": "llama", **TEXT},
        image_token_id=_IDEFICS.id("<image>"),
        scale_factor=2,
        pad_token_id=0,
    )
    tokenizer = _IDEFICS.tokenizer(**_IDEFICS_ROLES)
    reader = hf.Idefics3ImageProcessor(**_EDGES)
    return hf.Idefics3ForConditionalGeneration(config), hf.Idefics3Processor(
        reader, tokenizer, image_seq_len=4, chat_template=IDEFICS_CHAT
    )


def mllama() -> Made:
    """Llama 3.2 Vision reads the image by cross-attention."""
    words = Words("<|eot_id|>", "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|image|>")
    ratios = [[1, 1], [1, 2], [1, 3], [1, 4], [2, 1], [2, 2], [3, 1], [4, 1]]
    config = hf.MllamaConfig(
        vision_config={
            "hidden_size": 32,
            "attention_heads": 2,
            "num_hidden_layers": 2,
            "num_global_layers": 1,
            "intermediate_size": 64,
            "intermediate_layers_indices": [0],
            "vision_output_dim": 64,
            "image_size": SIDE,
            "patch_size": PATCH,
            "max_num_tiles": 4,
            "supported_aspect_ratios": ratios,
        },
        text_config={
            **TEXT,
            "cross_attention_layers": [1, 3],
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        },
        image_token_index=words.id("<|image|>"),
    )
    processor = hf.MllamaProcessor(
        hf.MllamaImageProcessor(size=SQUARE, max_image_tiles=4),
        words.tokenizer(),
        chat_template=chat(*LLAMA_3, "<|image|>", "<|eot_id|>", begin="<|begin_of_text|>"),
    )
    return hf.MllamaForConditionalGeneration(config), processor


def llama4() -> Made:
    """Attention in chunks, and experts."""
    names = ("image", "image_start", "image_end", "patch", "tile_x_separator", "tile_y_separator")
    marks = [f"<|{name}|>" for name in (*names, "header_start", "header_end")]
    words = Words("<|eot|>", "<|begin_of_text|>", *marks)
    config = hf.Llama4Config(
        vision_config={
            **VISION,
            "intermediate_size": 128,
            "vision_output_dim": 32,
            "projector_input_dim": 32,
            "projector_output_dim": 32,
        },
        text_config={
            **TEXT,
            "head_dim": 16,
            "intermediate_size_mlp": 64,
            "num_local_experts": 2,
            "attention_chunk_size": 512,
        },
        boi_token_index=words.id("<|image_start|>"),
        eoi_token_index=words.id("<|image_end|>"),
        image_token_index=words.id("<|patch|>"),
    )
    tags = ("<|header_start|>user<|header_end|>\n\n", "<|header_start|>assistant<|header_end|>\n\n")
    processor = hf.Llama4Processor(
        hf.Llama4ImageProcessor(size=SQUARE, max_patches=2),
        words.tokenizer(),
        patch_size=PATCH,
        chat_template=chat(*tags, "<|image|>", "<|eot|>", begin="<|begin_of_text|>"),
    )
    return hf.Llama4ForConditionalGeneration(config), processor


def aya_vision() -> Made:
    tags = ("<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>", "<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>")
    marks = ("<|START_OF_IMG|>", "<|END_OF_IMG|>", "<|IMG_PATCH|>", "<|IMG_LINE_BREAK|>", "<image>")
    words = Words("<|END_RESPONSE|>", "<BOS_TOKEN>", *tags, *marks)
    config = hf.AyaVisionConfig(
        vision_config={"model_type": "siglip_vision_model", **VISION},
        text_config={"model_type": "cohere2", "sliding_window": 64, "head_dim": 16, **TEXT},
        image_token_index=words.id("<|IMG_PATCH|>"),
    )
    turn = "<|START_OF_TURN_TOKEN|>"
    processor = hf.AyaVisionProcessor(
        hf.GotOcr2ImageProcessor(size=SQUARE, crop_to_patches=True, max_patches=4),
        words.tokenizer(),
        patch_size=PATCH,
        img_size=SIDE,
        downsample_factor=2,
        chat_template=chat(
            turn + "<|USER_TOKEN|>", turn + "<|CHATBOT_TOKEN|>", "<image>", tags[1], begin="<BOS_TOKEN>"
        ),
    )
    return hf.AyaVisionForConditionalGeneration(config), processor


def lfm2_vl() -> Made:
    """Convolutions over the tokens in half of its layers."""
    words = Words(
        "<|im_end|>", "<|startoftext|>", "<|im_start|>", "<image>", "<|image_start|>", "<|image_end|>",
        "<|img_thumbnail|>", *(f"<|img_row_{row}_col_{column}|>" for row in range(1, 5) for column in range(1, 5)),
    )  # fmt: skip
    config = hf.Lfm2VlConfig(
        vision_config={
            "model_type": "siglip2_vision_model",
            **{key: value for key, value in VISION.items() if key != "image_size"},
            "num_patches": 64,
            "patch_size": 16,
        },
        text_config={"model_type": "lfm2", **TEXT, "layer_types": ["conv", "full_attention"] * 2, "block_dim": 32},
        image_token_id=words.id("<image>"),
        projector_hidden_size=32,
    )
    processor = hf.Lfm2VlProcessor(
        hf.Lfm2VlImageProcessor(
            tile_size=64, encoder_patch_size=16, min_image_tokens=1, max_image_tokens=4, max_tiles=4, max_num_patches=64
        ),
        words.tokenizer(image_token="<image>"),
        chat_template=chat(*CHATML, "<image>", "<|im_end|>", begin="<|startoftext|>", line="\n"),
    )
    return hf.Lfm2VlForConditionalGeneration(config), processor


_DEEPSEEK = Words(
    "<|end▁of▁sentence|>", "<|begin▁of▁sentence|>", "<image_placeholder>", "<begin_of_image>", "<end_of_image>"
)


def _deepseek(user: str, model: str) -> str:
    """The answer stands behind a space."""
    return (
        "{{ '<|begin▁of▁sentence|>' }}{% for message in messages %}"
        f"{{{{ {user!r} if message.role == 'user' else {model!r} }}}}"
        "{{ ' ' }}{% for part in message.content %}{% if part.type == 'image' %}<image_placeholder>{% else %}"
        "{{ part.text }}{% endif %}{% endfor %}"
        "{{ '\n\n' if message.role == 'user' else '<|end▁of▁sentence|>' }}{% endfor %}"
        f"{{% if add_generation_prompt %}}{{{{ {model!r} }}}}{{% endif %}}"
    )


def janus() -> Made:
    config = hf.JanusConfig(
        text_config={"model_type": "llama", **TEXT},
        vision_config={**VISION, "mlp_ratio": 2.0, "projection_dim": 32, "num_image_tokens": 16},
        vq_config={
            "embed_dim": 8,
            "num_embeddings": 16,
            "latent_channels": 32,
            "base_channels": 32,
            "channel_multiplier": [1, 1],
            "num_res_blocks": 1,
            "projection_dim": 32,
            "image_token_embed_dim": 32,
        },
        image_token_id=_DEEPSEEK.id("<image_placeholder>"),
    )
    roles = {
        "image_token": "<image_placeholder>",
        "boi_token": "<begin_of_image>",
        "eoi_token": "<end_of_image>",
    }
    processor = hf.JanusProcessor(
        hf.JanusImageProcessor(size=SQUARE, min_size=14),
        _DEEPSEEK.tokenizer(**roles),
        num_image_tokens=16,
        chat_template=_deepseek("<|User|>:", "<|Assistant|>:"),
    )
    return hf.JanusForConditionalGeneration(config), processor


def deepseek_vl() -> Made:
    config = hf.DeepseekVLConfig(
        text_config={"model_type": "llama", **TEXT},
        vision_config={"model_type": "siglip_vision_model", **VISION},
        image_token_id=_DEEPSEEK.id("<image_placeholder>"),
    )
    processor = hf.DeepseekVLProcessor(
        hf.DeepseekVLImageProcessor(size=SQUARE, min_size=14),
        _DEEPSEEK.tokenizer(image_token="<image_placeholder>"),
        num_image_tokens=16,
        chat_template=_deepseek("User:", "Assistant:"),
    )
    return hf.DeepseekVLForConditionalGeneration(config), processor


def deepseek_vl_hybrid() -> Made:
    """Two towers, one of which reads the image at a higher resolution."""
    config = hf.DeepseekVLHybridConfig(
        text_config={"model_type": "llama", **TEXT},
        vision_config={"model_type": "siglip_vision_model", **VISION},
        high_res_vision_config={
            "model_type": "sam_vision_model",
            "hidden_size": 32,
            "output_channels": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 128,
            "patch_size": 16,
            "mlp_dim": 64,
            "window_size": 4,
            "global_attn_indexes": [1],
        },
        image_token_id=_DEEPSEEK.id("<image_placeholder>"),
    )
    processor = hf.DeepseekVLHybridProcessor(
        hf.DeepseekVLHybridImageProcessor(size=SQUARE, min_size=14, high_res_size={"height": 128, "width": 128}),
        _DEEPSEEK.tokenizer(image_token="<image_placeholder>"),
        num_image_tokens=16,
        chat_template=_deepseek("User:", "Assistant:"),
    )
    return hf.DeepseekVLHybridForConditionalGeneration(config), processor


def ovis2() -> Made:
    marks = ("<IMG_START>", "<IMG_GRID>", "<IMG_COL>", "<IMG_ROW>", "<IMG_END>")
    words = Words("<|im_end|>", "", "<|im_start|>", "<image>", "<IMG_ATOM>", *marks)
    config = hf.Ovis2Config(
        vision_config={**VISION, "vocab_size": 64, "hidden_stride": 2, "num_visual_indicator_tokens": 5},
        text_config={"model_type": "qwen2", **TEXT},
        image_token_id=words.id("<IMG_ATOM>"),
        visual_indicator_token_ids=[words.id(mark) for mark in marks],
        vocab_size=TEXT["vocab_size"],
        hidden_size=32,
    )
    processor = hf.Ovis2Processor(
        hf.Ovis2ImageProcessor(size=SQUARE, crop_to_patches=True, max_patches=4),
        words.tokenizer(image_token="<image>"),
        image_seq_length=4,
        chat_template=chat(*CHATML, "<image>\n", "<|im_end|>", line="\n"),
    )
    return hf.Ovis2ForConditionalGeneration(config), processor
