"""All families, small, by the name that users know."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests.families import llava, newer, others, qwen

FAMILIES: dict[str, Callable[[], tuple[Any, Any]]] = {
    "Qwen2-VL": qwen.qwen2_vl,
    "Qwen2.5-VL (Lingshu)": qwen.qwen2_5_vl,
    "Qwen3-VL": qwen.qwen3_vl,
    "Qwen3-VL MoE": qwen.qwen3_vl_moe,
    "Qwen3-VL Thinking": qwen.qwen3_vl_thinking,
    "Qwen3.5": qwen.qwen3_5,
    "GLM-4.xV": qwen.glm4v,
    "Gemma 3 (MedGemma)": llava.gemma3,
    "InternVL": llava.internvl,
    "LLaVA 1.5": llava.llava,
    "LLaVA-NeXT": llava.llava_next,
    "LLaVA-OneVision": llava.llava_onevision,
    "Pixtral": llava.pixtral,
    "Mistral 3": llava.mistral3,
    "PaliGemma": llava.paligemma,
    "Idefics 3": others.idefics3,
    "Llama 3.2 Vision": others.mllama,
    "Llama 4": others.llama4,
    "Aya Vision": others.aya_vision,
    "LFM2-VL": others.lfm2_vl,
    "Janus": others.janus,
    "DeepSeek-VL": others.deepseek_vl,
    "Ovis 2": others.ovis2,
    "VipLLaVA": newer.vip_llava,
    "Idefics 2": newer.idefics2,
    "VideoLLaMA 3": newer.video_llama3,
    "Cohere2 Vision": newer.cohere2_vision,
    "Aria": newer.aria,
    "DeepSeek-VL hybrid": others.deepseek_vl_hybrid,
    "Qwen2.5-Omni": newer.qwen2_5_omni,
    "MiniCPM-V 4.6": newer.minicpm_v,
    "Molmo 2": newer.molmo2,
}


def write_family(name: str, folder: Path) -> Path:
    """Write a transformers folder of a family's small model, which looks at image and text and has opinions."""
    torch.manual_seed(5)
    model, processor = FAMILIES[name]()
    with torch.no_grad():
        for weight_name, weight in model.named_parameters():
            if weight.ndim > 1:  # normalisation stays as it is
                weight.normal_(std=1.0 if "embed_tokens" in weight_name else 1.5 / weight[0].numel() ** 0.5)
            elif "gate" in weight_name:  # of cross-attention, which is shut at first
                weight.fill_(0.7)
    model.eval().save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
