"""What the configuration of an open_clip encoder may say.

open_clip builds what it is told: it hands ``tokenizer_kwargs`` to transformers, follows names to other folders, and
sets memory aside for any size. Encoders are passed around, so only what describes a model is let through.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from titrate import InputError, parse_json, read_bytes

LARGEST_FILE = 1 << 20
"""Bytes of a configuration."""
LARGEST_MODEL = 10**10
"""Weights of a model whose file is not at hand, to compare with what its configuration claims."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_MODEL = _names(
    "embed_dim vision_cfg text_cfg multimodal_cfg quick_gelu custom_text init_logit_scale init_logit_bias "
    "nonscalar_logit_scale output_dict pad_id"
)
_BLOCK = _names("block_type qk_norm scaled_cosine_attn scale_heads scale_attn_inner scale_attn scale_fc")
_TOWER = _BLOCK | _names(
    "layers width mlp_ratio ls_init_value final_ln_after_pool pool_type output_tokens act_kwargs norm_kwargs"
)
_VISION = _TOWER | _names(
    "head_width patch_size image_size patch_dropout attentional_pool attn_pooler_queries attn_pooler_heads no_ln_pre "
    "pos_embed_type timm_model_name timm_model_pretrained timm_pool timm_proj timm_proj_bias timm_drop "
    "timm_drop_path"
)
_TEXT = _TOWER | _names(
    "context_length vocab_size hf_tokenizer_name tokenizer_mode tokenizer_kwargs heads embed_cls pad_id eos_id "
    "no_causal_mask proj_bias proj_type hf_model_name hf_model_pretrained hf_proj_type hf_pooler_type"
)
_FUSION = _TEXT | _names("dim_head n_queries attn_pooler_heads")
_PARTS: Mapping[str, frozenset[str]] = {
    "": _MODEL,
    "vision_cfg": _VISION,
    "text_cfg": _TEXT,
    "multimodal_cfg": _FUSION,
    "tokenizer_kwargs": frozenset({"clean", "strip_sep_token", "language"}),
    "act_kwargs": frozenset({"approximate"}),
    "norm_kwargs": frozenset({"eps"}),
}
"""What each part may hold; the first is the model's own."""

_MOST: Mapping[str, float] = {
    "layers": 1000,
    "vocab_size": 1 << 22,
    "pad_id": 1 << 22,
    "eos_id": 1 << 22,
    "context_length": 8192,
    "image_size": 2048,
    "mlp_ratio": 64,
    "depth": 1000,
}
_MOST_OTHERWISE = 1 << 16

_WORDS = _names(
    "pool_type pos_embed_type block_type proj_type tokenizer_mode timm_model_name timm_pool timm_proj hf_proj_type "
    "hf_pooler_type clean language approximate"
)
"""Settings whose value is a word; all others are numbers or truth values."""
_WORD = re.compile(r"[\w.-]{0,100}", re.ASCII)
_REPOSITORY = re.compile(r"(?!\.)[\w.-]{1,100}(/[\w.-]{1,100})?", re.ASCII)


def read_encoder_config(folder: Path, name: str = "open_clip_config.json") -> Any:
    """A configuration of a local encoder.

    Parameters
    ----------
    folder, name
        Where it is.

    Raises
    ------
    InputError
        If it cannot be read, or its folder holds pipes or devices, which would be waited for.
    """
    path = folder / name
    try:
        for entry in folder.iterdir():
            if entry.exists() and not entry.is_file() and not entry.is_dir():
                raise InputError(f"encoder {folder} holds {entry.name}, which is no file; remove it")
        if path.stat().st_size > LARGEST_FILE:
            raise InputError(f"{path} is larger than a configuration can be; check the path")
        return parse_json(read_bytes(path))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; check the path") from error
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}; get the encoder again") from error


def check_encoder_config(config: Any, most_weights: int = LARGEST_MODEL) -> None:
    """Refuse a configuration that says more than what the model is.

    Parameters
    ----------
    config
        ``model_cfg`` of an encoder's configuration.
    most_weights
        What the encoder can have of them, by the size of its file.

    Raises
    ------
    InputError
        If it holds a setting that is not known, a name that is none, or a size that no encoder has.
    """
    _check_part(config, "", "model_cfg")
    for part in ("vision_cfg", "text_cfg"):
        if not isinstance(config.get(part), dict):
            raise InputError(f"its configuration has no {part}; get the encoder again")
    claimed = sum(_least_weights(config.get(part) or {}) for part in ("vision_cfg", "text_cfg", "multimodal_cfg"))
    if claimed > most_weights:
        raise InputError(f"its configuration claims {claimed:.2g} weights, more than its file can hold")


def check_preprocessing(config: Mapping[str, Any]) -> None:
    """Refuse means and deviations of colours, and a fill, that no image can be normalised by.

    Raises
    ------
    InputError
        If they are not three numbers each, or a deviation is not above zero.
    """
    for name in ("mean", "std"):
        values = config.get(name)
        sound = isinstance(values, list | tuple) and len(values) == 3 and all(_is_number(each) for each in values)
        if not sound or (name == "std" and min(values or ()) <= 0):
            raise InputError(f"its configuration sets preprocess_cfg.{name} to {str(values)[:60]!r}; get it again")
    if not _is_number(config.get("fill_color", 0)):
        raise InputError("its configuration sets preprocess_cfg.fill_color to no number; get the encoder again")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 255


def check_text_config(config: Any, what: str = "its text model") -> None:
    """Refuse a configuration of transformers that names code, or sizes that no text encoder has.

    Parameters
    ----------
    config
        What ``config.json`` holds: the text tower, where open_clip takes it from transformers.
    what
        It describes, for messages.

    Raises
    ------
    InputError
        If it does.
    """
    for key, value in _walk(config):
        if key == "auto_map":
            raise InputError(f"{what} brings Python code of its own (auto_map), which is not run")
        if "attn_implementation" in key and isinstance(value, str) and not _WORD.fullmatch(value):
            raise InputError(f"{what} names code on the hub ({key}), which is not run")
        if isinstance(value, int | float):
            most = 1000 if "layer" in key and isinstance(value, int) else 1 << 22
            if abs(value) > most and not (isinstance(value, float) and math.isinf(value)):
                raise InputError(f"{what} has {key} {value:.6g}, which no encoder has")


def _walk(value: Any, key: str = "") -> list[tuple[str, Any]]:
    """Every value with the name it goes by, at any depth that a JSON parser lets through."""
    found: list[tuple[str, Any]] = []
    waiting: list[tuple[str, Any]] = [(key, value)]
    while waiting:
        name, each = waiting.pop()
        found.append((name, each))
        if isinstance(each, dict):
            waiting += [(str(inner), held) for inner, held in each.items()]
        elif isinstance(each, list):
            waiting += [(name, held) for held in each]
    return found


def _check_part(part: Any, kind: str, where: str) -> None:
    if not isinstance(part, dict):
        raise InputError(f"{where} of its configuration is no object; get the encoder again")
    for name, value in part.items():
        place = f"{where}.{name}"
        if name not in _PARTS[kind]:
            raise InputError(f"its configuration sets {place[:200]!r}, which is not allowed; remove it if you trust it")
        if name in _PARTS:
            if value is not None:
                _check_part(value, name, place)
        elif not _sound(name, value):
            raise InputError(f"its configuration sets {place} to {str(value)[:60]!r}, which no encoder has")


def _sound(name: str, value: Any) -> bool:
    match value:
        case None | bool():
            return True
        case int() | float():
            return math.isfinite(value) and abs(value) <= _MOST.get(name, _MOST_OTHERWISE)
        case str() if name == "hf_model_name":  # a name of the hub, or a folder: both are read as data
            return bool(_REPOSITORY.fullmatch(value)) or Path(value).expanduser().is_dir()
        case str() if name == "hf_tokenizer_name":
            return value == "" or bool(_REPOSITORY.fullmatch(value))
        case str() if name in _WORDS:
            return bool(_WORD.fullmatch(value))
        case list() if name in ("image_size", "layers", "patch_size"):
            return len(value) <= 4 and all(isinstance(each, int) and _sound(name, each) for each in value)
    return False


def _least_weights(tower: Mapping[str, Any]) -> float:
    """At least so many weights a native tower has: attention, the two layers after it, and the table of tokens.

    None of a tower that another library makes.
    """
    if tower.get("timm_model_name") or tower.get("hf_model_name"):
        return 0.0
    width, layers = float(tower.get("width") or 0), tower.get("layers") or 0
    if isinstance(layers, list):  # a ResNet's, by stage; its width is that of the first
        return sum(layers) * width**2
    return width * float(tower.get("vocab_size") or 0) + layers * width**2 * (
        4 + 2 * float(tower.get("mlp_ratio") or 0)
    )
