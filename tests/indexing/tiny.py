"""A tiny encoder with random weights in open_clip's own folder format."""

from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.push_to_hf_hub import save_for_hf
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

SAMPLES = Path(__file__).parents[2] / "samples"


def make_encoder(folder: Path, seed: int, bias: float | None = None) -> Path:
    """Write an open_clip folder: a 32-pixel CNN tower, a one-layer text transformer, 16 dimensions.

    With a bias it is one that a sigmoid loss trains, as ViT-B-16-SigLIP is.
    """
    model_config: dict[str, Any] = {
        "embed_dim": 16,
        "vision_cfg": {
            "timm_model_name": "resnet10t",
            "timm_model_pretrained": False,
            "timm_pool": "avg",
            "timm_proj": "linear",
            "image_size": 32,
        },
        "text_cfg": {
            "context_length": 24,
            "vocab_size": 300,
            "hf_tokenizer_name": "in-this-folder",
            "width": 16,
            "heads": 2,
            "layers": 1,
            "pool_type": "eos",
            "eos_id": 1,
            "pad_id": 0,
        },
    }
    if bias is not None:
        model_config |= {"init_logit_bias": bias}
    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.train_from_iterator(
        ["heart lung cell"],
        trainers.BpeTrainer(
            vocab_size=300,
            special_tokens=["<pad>", "<eos>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    words.post_processor = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<eos>")
    torch.manual_seed(seed)
    model = open_clip.CustomTextCLIP(**model_config)
    with torch.no_grad():  # settles the batch norms, without which all images look nearly the same
        for _ in range(20):
            model.encode_image(torch.randn(32, 3, 32, 32))
    # What open_clip's own factory would have noted on the tower.
    model.visual.image_mean, model.visual.image_std = [0.5] * 3, [0.5] * 3
    model.visual.preprocess_cfg = {"interpolation": "bicubic", "resize_mode": "squash"}
    model_config["custom_text"] = True  # or else the factory builds CLIP, whose text tower has other names
    save_for_hf(model, tokenizer, model_config, str(folder), safe_serialization=True)
    return folder
