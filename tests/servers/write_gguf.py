"""Writes a small LLaVA 1.5 of transformers as the two files that llama.cpp reads: write_gguf.py MODEL FOLDER.

Run by the Python of llama.cpp's environment, with `gguf` and `safetensors`. llama.cpp's own converter is no package.
"""

import json
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

Weights = dict[str, NDArray[np.float32]]

TEXT_LAYER = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
VISION_LAYER = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.out_proj": "attn_out",
    "layer_norm1": "ln1",
    "layer_norm2": "ln2",
    "mlp.fc1": "ffn_up",
    "mlp.fc2": "ffn_down",
}


def main(model: Path, folder: Path) -> None:
    """Write model.gguf and mmproj.gguf."""
    config = json.loads((model / "config.json").read_text())
    weights = {}
    for name, tensor in load_file(model / "model.safetensors").items():
        weights[".".join(part for part in name.split(".") if part not in ("model", "vision_model"))] = tensor
    write_text(config["text_config"], weights, model, folder / "model.gguf")
    write_vision(config, weights, folder / "mmproj.gguf")


def write_text(config: dict[str, Any], weights: Weights, model: Path, out: Path) -> None:
    """The language model and its tokeniser."""
    heads, groups = config["num_attention_heads"], config["num_key_value_heads"]
    file = gguf.GGUFWriter(out, "llama")
    file.add_context_length(config["max_position_embeddings"])
    file.add_embedding_length(config["hidden_size"])
    file.add_block_count(config["num_hidden_layers"])
    file.add_feed_forward_length(config["intermediate_size"])
    file.add_head_count(heads)
    file.add_head_count_kv(groups)
    file.add_layer_norm_rms_eps(config["rms_norm_eps"])
    file.add_rope_dimension_count(config["hidden_size"] // heads)
    file.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    file.add_vocab_size(config["vocab_size"])
    words = json.loads((model / "tokenizer.json").read_text())
    special = {entry["content"] for entry in words["added_tokens"]}
    tokens = sorted(words["model"]["vocab"], key=words["model"]["vocab"].get)
    tokens += [f"<unused {number}>" for number in range(len(tokens), config["vocab_size"])]
    file.add_tokenizer_model("gpt2")
    file.add_tokenizer_pre("gpt-2")
    file.add_token_list(tokens)
    file.add_token_types([3 if token in special or token.startswith("<unused ") else 1 for token in tokens])
    merges = words["model"]["merges"]
    file.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    file.add_bos_token_id(config["bos_token_id"])
    file.add_eos_token_id(config["eos_token_id"])
    file.add_add_bos_token(False)
    file.add_tensor("token_embd.weight", weights["language_model.embed_tokens.weight"])
    file.add_tensor("output_norm.weight", weights["language_model.norm.weight"])
    file.add_tensor("output.weight", weights["language_model.lm_head.weight"])
    for layer in range(config["num_hidden_layers"]):
        for theirs, ours in TEXT_LAYER.items():
            tensor = weights[f"language_model.layers.{layer}.{theirs}.weight"]
            if ours in ("attn_q", "attn_k"):  # pairs that are turned together stand side by side
                count = heads if ours == "attn_q" else groups
                halves = tensor.reshape(count, 2, tensor.shape[0] // count // 2, tensor.shape[1])
                tensor = np.ascontiguousarray(halves.swapaxes(1, 2).reshape(tensor.shape))
            file.add_tensor(f"blk.{layer}.{ours}.weight", tensor)
    save(file)


def write_vision(config: dict[str, Any], weights: Weights, out: Path) -> None:
    """The vision tower and the projector."""
    vision = config["vision_config"]
    layers = vision["num_hidden_layers"]  # of which llama.cpp leaves out the last by itself
    file = gguf.GGUFWriter(out, "clip")
    file.add_bool("clip.has_vision_encoder", True)
    file.add_string("clip.projector_type", "mlp")
    file.add_bool("clip.use_gelu", False)
    for name, value in {
        "image_size": vision["image_size"],
        "patch_size": vision["patch_size"],
        "embedding_length": vision["hidden_size"],
        "feed_forward_length": vision["intermediate_size"],
        "projection_dim": config["text_config"]["hidden_size"],
        "block_count": layers,
        "attention.head_count": vision["num_attention_heads"],
    }.items():
        file.add_uint32(f"clip.vision.{name}", value)
    file.add_float32("clip.vision.attention.layer_norm_epsilon", vision["layer_norm_eps"])
    file.add_array("clip.vision.image_mean", [0.48145466, 0.4578275, 0.40821073])
    file.add_array("clip.vision.image_std", [0.26862954, 0.26130258, 0.27577711])
    tower = {name.removeprefix("vision_tower."): tensor for name, tensor in weights.items()}
    file.add_tensor("v.class_embd", tower["embeddings.class_embedding"])
    file.add_tensor("v.patch_embd.weight", tower["embeddings.patch_embedding.weight"])
    file.add_tensor("v.position_embd.weight", tower["embeddings.position_embedding.weight"])
    for kind in ("weight", "bias"):
        file.add_tensor(f"v.pre_ln.{kind}", tower[f"pre_layrnorm.{kind}"])
        for layer in range(layers):
            for theirs, ours in VISION_LAYER.items():
                file.add_tensor(f"v.blk.{layer}.{ours}.{kind}", tower[f"encoder.layers.{layer}.{theirs}.{kind}"])
        file.add_tensor(f"mm.0.{kind}", weights[f"multi_modal_projector.linear_1.{kind}"])
        file.add_tensor(f"mm.2.{kind}", weights[f"multi_modal_projector.linear_2.{kind}"])
    save(file)


def save(file: Any) -> None:
    """Write all that was added."""
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
