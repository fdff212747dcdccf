"""Families that ignore which logits are asked for, and those with towers or experts of their own.

Each function gives a small model from its real configuration, and its processor with its chat template in short.
"""

from typing import Any

import transformers

from tests.families.others import IDEFICS_CHAT
from tests.families.parts import CHATML, PATCH, SIDE, SQUARE, TEXT, VISION, Words, chat

hf: Any = transformers  # whose processors are not typed by what they take
Made = tuple[Any, Any]
_SIGLIP = {"model_type": "siglip_vision_model", **VISION}
_MROPE = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0}
_QWEN = {"model_type": "qwen2", **TEXT}
_IMAGES = Words("<|im_end|>", "", "<|im_start|>", "<image>", "<video>")


def vip_llava() -> Made:
    """Features of several layers of its tower."""
    words = Words("</s>", "<s>", "<image>")
    config = hf.VipLlavaConfig(
        vision_config={"model_type": "clip_vision_model", **VISION},
        text_config={"model_type": "llama", **TEXT},
        image_token_index=words.id("<image>"),
        vision_feature_layers=[-1, -2],
    )
    processor = hf.LlavaProcessor(
        hf.CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size=SQUARE),
        words.tokenizer(),
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=chat("###Human: ", "###Assistant:", "<image>\n", "</s>", begin="<s>"),
    )
    return hf.VipLlavaForConditionalGeneration(config), processor


def idefics2() -> Made:
    words = Words("</s>", "<s>", "<image>", "<fake_token_around_image>", "<end_of_utterance>")
    config = hf.Idefics2Config(
        vision_config=VISION,
        perceiver_config={
            "hidden_size": 32,
            "resampler_n_latents": 4,
            "resampler_depth": 1,
            "resampler_n_heads": 2,
            "resampler_head_dim": 16,
            "num_key_value_heads": 1,
        },
        text_config={"model_type": "mistral", "sliding_window": None, **TEXT},
        image_token_id=words.id("<image>"),
    )
    processor = hf.Idefics2Processor(
        hf.Idefics2ImageProcessor(size={"shortest_edge": SIDE // 2, "longest_edge": SIDE}, do_image_splitting=False),
        words.tokenizer(),
        image_seq_len=4,
        chat_template=IDEFICS_CHAT,
    )
    return hf.Idefics2ForConditionalGeneration(config), processor


def video_llama3() -> Made:
    """It takes the number of logits to keep, and gives them all."""
    config = hf.VideoLlama3Config(
        vision_config={**{key: VISION[key] for key in VISION if key != "image_size"}},
        text_config=_QWEN,
        image_token_id=_IMAGES.id("<image>"),
        video_token_id=_IMAGES.id("<video>"),
    )
    reader = hf.VideoLlama3ImageProcessor(min_pixels=56 * 56, max_pixels=4 * 56 * 56)
    processor = hf.VideoLlama3Processor(
        reader,
        _IMAGES.tokenizer(image_token="<image>", video_token="<video>"),
        hf.VideoLlama3VideoProcessor(),
        chat_template=chat(*CHATML, "<image>\n", "<|im_end|>", line="\n"),
    )
    return hf.VideoLlama3ForConditionalGeneration(config), processor


def cohere2_vision() -> Made:
    """A row of pixels for each crop, and logits that are scaled."""
    turns = ("<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>", "<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>")
    marks = ("<|START_OF_IMG|>", "<|END_OF_IMG|>", "<|IMG_PATCH|>", "<|IMG_LINE_BREAK|>")
    words = Words("<|END_RESPONSE|>", "<BOS_TOKEN>", *turns, *marks)
    config = hf.Cohere2VisionConfig(
        vision_config=_SIGLIP,
        text_config={"model_type": "cohere2", "sliding_window": 64, "head_dim": 16, **TEXT},
        image_token_id=words.id("<|IMG_PATCH|>"),
        alignment_intermediate_size=64,
    )
    tokenizer = words.tokenizer(
        boi_token=marks[0], eoi_token=marks[1], image_token=marks[2], img_line_break_token=marks[3]
    )
    processor = hf.Cohere2VisionProcessor(
        # Of a patch of the processor as many tokens come as of its square.
        hf.Cohere2VisionImageProcessor(size=SQUARE, patch_size=SIDE // PATCH // 2, max_patches=4),
        tokenizer,
        chat_template=chat(turns[0] + turns[2], turns[0] + turns[3], "<|IMG_PATCH|>", turns[1], begin="<BOS_TOKEN>"),
    )
    return hf.Cohere2VisionForConditionalGeneration(config), processor


def aria() -> Made:
    """Experts, and queries in the place of patches."""
    config = hf.AriaConfig(
        vision_config={"model_type": "idefics3_vision", **VISION, "image_size": 980, "patch_size": 140},
        text_config={**TEXT, "moe_num_experts": 4, "moe_topk": 2, "moe_num_shared_experts": 1},
        projector_patch_to_query_dict={49: 8},
        image_token_index=_IMAGES.id("<image>"),
    )
    processor = hf.AriaProcessor(
        hf.AriaImageProcessor(),
        _IMAGES.tokenizer(image_token="<image>"),
        size_conversion={980: 8},
        chat_template=chat(*CHATML, "<image>", "<|im_end|>", line="\n"),
    )
    return hf.AriaForConditionalGeneration(config), processor


def qwen2_5_omni() -> Made:
    """The part of it that reads and answers; it takes sound and films too."""
    marks = ("<|vision_start|>", "<|vision_end|>", "<|audio_start|>", "<|audio_end|>", "<|IMAGE|>", "<|VIDEO|>")
    words = Words("<|im_end|>", "", "<|im_start|>", *marks, "<|AUDIO|>")
    config = hf.Qwen2_5OmniThinkerConfig(
        audio_config={
            "num_mel_bins": 16,
            "encoder_layers": 1,
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 32,
            "d_model": 32,
            "output_dim": 32,
        },
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "out_hidden_size": 32,
            "fullatt_block_indexes": [1],
            "window_size": 56,
        },
        text_config={**TEXT, "rope_parameters": _MROPE},
        audio_token_index=words.id("<|AUDIO|>"),
        image_token_index=words.id("<|IMAGE|>"),
        video_token_index=words.id("<|VIDEO|>"),
        audio_start_token_id=words.id("<|audio_start|>"),
        audio_end_token_id=words.id("<|audio_end|>"),
        vision_start_token_id=words.id("<|vision_start|>"),
        vision_end_token_id=words.id("<|vision_end|>"),
    )
    tokenizer = words.tokenizer(
        image_token="<|IMAGE|>",
        video_token="<|VIDEO|>",
        audio_token="<|AUDIO|>",
        vision_bos_token=marks[0],
        vision_eos_token=marks[1],
        audio_bos_token=marks[2],
        audio_eos_token=marks[3],
    )
    processor = hf.Qwen2_5OmniProcessor(
        hf.Qwen2VLImageProcessor(size={"shortest_edge": 56 * 56, "longest_edge": 4 * 56 * 56}),
        hf.Qwen2VLVideoProcessor(),
        hf.WhisperFeatureExtractor(feature_size=16),
        tokenizer,
        chat_template=chat(*CHATML, "<|vision_start|><|IMAGE|><|vision_end|>", "<|im_end|>", line="\n"),
    )
    return hf.Qwen2_5OmniThinkerForConditionalGeneration(config), processor


def minicpm_v() -> Made:
    """MiniCPM-V 4.6: slices, a language model that keeps states; it ignores which logits are asked for."""
    marks = ("<image>", "</image>", "<slice>", "</slice>", "<image_id>", "</image_id>")
    words = Words("<|im_end|>", "", "<|im_start|>", "<|image_pad|>", "<|video_pad|>", *marks)
    text = {**TEXT, "model_type": "qwen3_5_text", "head_dim": 16, "linear_num_key_heads": 2}
    text |= {"linear_num_value_heads": 2, "linear_key_head_dim": 16, "linear_value_head_dim": 16}
    config = hf.MiniCPMV4_6Config(
        text_config=text,
        vision_config={**VISION, "num_hidden_layers": 3, "image_size": 112},
        insert_layer_id=1,
        image_size=112,
        image_token_id=words.id("<|image_pad|>"),
        video_token_id=words.id("<|video_pad|>"),
    )
    tokenizer = words.tokenizer(
        image_token="<|image_pad|>",
        video_token="<|video_pad|>",
        image_start_token=marks[0],
        image_end_token=marks[1],
        slice_start_token=marks[2],
        slice_end_token=marks[3],
        image_id_start_token=marks[4],
        image_id_end_token=marks[5],
    )
    processor = hf.MiniCPMV4_6Processor(
        hf.MiniCPMV4_6ImageProcessor(scale_resolution=112, max_slice_nums=4, patch_size=PATCH),
        hf.MiniCPMV4_6VideoProcessor(),
        tokenizer,
        chat_template=chat(*CHATML, "<|image_pad|>\n", "<|im_end|>", line="\n"),
    )
    return hf.MiniCPMV4_6ForConditionalGeneration(config), processor


def molmo2() -> Made:
    """Crops that overlap, and tokens that see later ones within the image."""
    marks = ("<im_patch>", "<im_col>", "<im_start>", "<low_res_im_start>", "<frame_start>", "<im_end>", "<frame_end>")
    words = Words("<|im_end|>", "", "<|im_start|>", "<|image|>", "<|video|>", *marks, "<im_low>")
    text = {key: value for key, value in TEXT.items() if not key.startswith(("pad", "bos"))}
    config = hf.Molmo2Config(
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "image_size": [SIDE, SIDE],
            "num_position_embeddings": (SIDE // PATCH) ** 2,
        },
        adapter_config={
            "vision_feature_layer": [-1, -2],
            "hidden_size": 32,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "intermediate_size": 64,
            "text_hidden_size": 32,
        },
        text_config={**text, "head_dim": 16, "additional_vocab_size": 16},
        image_start_token_id=words.id("<im_start>"),
        low_res_image_start_token_id=words.id("<low_res_im_start>"),
        image_end_token_id=words.id("<im_end>"),
        image_patch_id=words.id("<im_patch>"),
        frame_start_token_id=words.id("<frame_start>"),
        frame_end_token_id=words.id("<frame_end>"),
        image_col_id=words.id("<im_col>"),
        image_low_res_id=words.id("<im_low>"),
        eos_token_id=1,
    )
    processor = hf.Molmo2Processor(
        hf.Molmo2ImageProcessor(size=SQUARE, max_crops=3, overlap_margins=[1, 1], patch_size=PATCH),
        hf.Molmo2VideoProcessor(),
        words.tokenizer(image_token="<|image|>", video_token="<|video|>"),
        chat_template=chat(*CHATML, "<|image|>", "<|im_end|>", line="\n"),
    )
    return hf.Molmo2ForConditionalGeneration(config), processor
