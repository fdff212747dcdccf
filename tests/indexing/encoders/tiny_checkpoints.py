"""Small encoders of transformers with random weights, from their real configuration, model and processor classes."""

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

hf: Any = transformers  # whose classes are not typed by what they take
LENGTH, SIDE = 16, 32
TOWER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
_WORDS = ["no pleural effusion heart size is normal", "mass in the left lung", "Heart Lung CT"]
_SPECIAL = {"<pad>": 0, "<eos>": 1, "<bos>": 2, "<unk>": 3, "<mask>": 4}


def make_clip(folder: Path, seed: int = 1) -> Path:
    """CLIP: causal text, read at its end, a softmax loss."""
    letters = list(pre_tokenizers.ByteLevel.alphabet())
    letters.sort()
    pieces = [*letters, *(f"{letter}</w>" for letter in letters), "he", "ar", "lu", "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = hf.CLIPTokenizer(
        vocab=vocabulary,
        merges=[("h", "e"), ("a", "r"), ("l", "u")],
        pad_token="<|endoftext|>",
        model_max_length=LENGTH,
    )
    last = vocabulary["<|endoftext|>"]
    ids = {"bos_token_id": last - 1, "eos_token_id": last, "pad_token_id": last}
    text = {**TOWER, "vocab_size": len(pieces), "max_position_embeddings": LENGTH, **ids}
    config = hf.CLIPConfig(text_config=text, vision_config=_vision(), projection_dim=16)
    reader = hf.CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    return _save(folder, seed, hf.CLIPModel, config, hf.CLIPProcessor(reader, tokenizer))


def make_siglip(folder: Path, seed: int = 1) -> Path:
    """SigLIP 2 of a fixed size, which is SigLIP with Gemma's tokenizer, and asks for lower case that this ignores."""
    tokenizer = gemma_tokenizer()
    text = {**TOWER, "vocab_size": len(tokenizer), "max_position_embeddings": LENGTH, "projection_size": 32}
    config = hf.SiglipConfig(text_config={**text, "pad_token_id": 0, "eos_token_id": 1}, vision_config=_vision())
    reader = hf.SiglipImageProcessor(size={"height": SIDE, "width": SIDE})
    made = _save(folder, seed, hf.SiglipModel, config, hf.SiglipProcessor(reader, tokenizer))
    return change(made, "tokenizer_config.json", tokenizer_class="GemmaTokenizer", do_lower_case=True)


def make_siglip2(folder: Path, seed: int = 1) -> Path:
    """SigLIP 2 with any aspect ratio (NaFlex): patches, their mask, and how many there are each way."""
    tokenizer = gemma_tokenizer()
    text = {**TOWER, "vocab_size": len(tokenizer), "max_position_embeddings": LENGTH, "projection_size": 32}
    vision = {**TOWER, "num_patches": 16, "patch_size": 8}
    config = hf.Siglip2Config(text_config={**text, "pad_token_id": 0, "eos_token_id": 1}, vision_config=vision)
    reader = hf.Siglip2ImageProcessor(patch_size=8, max_num_patches=16)
    made = _save(folder, seed, hf.Siglip2Model, config, hf.Siglip2Processor(reader, tokenizer))
    return change(made, "tokenizer_config.json", tokenizer_class="Siglip2Tokenizer")


def gemma_tokenizer() -> Any:
    """Pieces of words with their spaces, and an end, as Gemma's tokenizer has them; no attention mask."""
    words = Tokenizer(models.BPE(unk_token="<unk>"))
    words.normalizer = normalizers.Replace(" ", "▁")
    special = [AddedToken(name, special=True) for name in _SPECIAL]
    words.train_from_iterator(_WORDS, trainers.BpeTrainer(vocab_size=90, special_tokens=special, show_progress=False))
    words.post_processor = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="<pad>",
        eos_token="<eos>",
        unk_token="<unk>",
        bos_token="<bos>",
        mask_token="<mask>",
        padding_side="right",
        model_max_length=LENGTH,
        model_input_names=["input_ids"],
    )


def change(folder: Path, file: str, **values: Any) -> Path:
    """Set values in one of a folder's JSON files."""
    path = folder / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    return folder


def _vision() -> dict[str, Any]:
    return {**TOWER, "image_size": SIDE, "patch_size": 8}


def _save(folder: Path, seed: int, kind: Any, config: Any, processor: Any) -> Path:
    torch.manual_seed(seed)
    model = kind(config)
    with torch.no_grad():
        for parameter in model.parameters():  # far from what each begins with, where all images look alike
            if parameter.ndim > 1:
                parameter.normal_(0, 0.3)
        model.logit_scale.fill_(2.0)
        if hasattr(model, "logit_bias"):
            model.logit_bias.fill_(-3.0)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
