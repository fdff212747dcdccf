"""Mistakes in naming a model, found before torch and transformers are imported, which takes seconds."""

import os
from pathlib import Path
from typing import Any

from rag.models.loading.options import LoadingOptions
from titrate import InputError, is_address, parse_json, read_bytes, shorten

NUMBERS = ("float32", "bfloat16", "float16")
"""Number formats that a model's weights can have."""

_ADAPTERS = frozenset({"LORA", "ADALORA", "IA3", "LOHA", "LOKR"})
"""Kinds of PEFT adapters that hold all they need; others name further models or modules."""


_ORIGINAL_LLAVA = frozenset({"LlavaMistralForCausalLM", "LlavaLlamaForCausalLM"})
"""Models of LLaVA's own code, which LLaVA-Med's is made of."""


def check_model_files(
    name: str, *, adapter: Path | None = None, dtype: str | None = None, loading: LoadingOptions | None = None
) -> None:
    """Refuse a folder without a model, an adapter without its files, and options that a server does not take.

    Parameters
    ----------
    name
        As for `open_mllm`. Neither the model hub nor a server is asked whether it has the model.
    adapter, dtype, loading
        As for `open_mllm`.

    Raises
    ------
    InputError
        If a folder holds no model or no adapter, or one that names code or weights elsewhere; if the number format is
        unknown, or an adapter, a number format or another way to load is given with a server, which chooses its own.
    """
    if is_address(name):
        if adapter is not None:
            raise InputError(
                "a server loads adapters itself: leave out the adapter, and name the server's model with it"
            )
        if dtype is not None:
            raise InputError("a server chooses the number format itself: leave out the dtype")
        if loading is not None and loading.named():
            raise InputError(f"a server loads its model itself: leave out {', '.join(loading.named())}")
        return
    folder = Path(name).expanduser()
    known = name.partition("@")[0].count("/") == 1  # OWNER/NAME or OWNER/NAME@REVISION
    if not os.path.isfile(folder / "config.json") and (os.path.exists(folder) or not known):
        raise InputError(f"no model in {name}: config.json is not there; give a model folder or OWNER/NAME of the hub")
    if (folder / "adapter_config.json").exists():
        raise InputError(
            f"{name} is an adapter, whose base model would be read from elsewhere; give that model's folder, and this "
            "one with --adapter"
        )
    _check_weights(folder)
    if adapter is not None:
        _check_weights(Path(adapter))
    for file in () if adapter is None else ("adapter_config.json", "adapter_model.safetensors"):
        if not os.path.isfile(Path(adapter or "") / file):
            raise InputError(f"no adapter in {adapter}: {file} is not there; make one with `titrate train`")
    for path in [folder / "config.json", *([] if adapter is None else [adapter / "adapter_config.json"])]:
        if os.path.isfile(path):
            _check_no_code(_configuration(path), path)
    if (
        loading is not None
        and loading.quantize is not None
        and "quantization_config" in _object(folder / "config.json")
    ):
        raise InputError(f"the weights of {name} are quantised already; leave out --quantize-model")
    _check_converted(name, _object(folder / "config.json"))
    if adapter is not None:
        kind = _configuration(adapter / "adapter_config.json").get("peft_type")
        if not isinstance(kind, str) or kind not in _ADAPTERS:
            raise InputError(
                f"adapter {adapter} is of kind {str(kind)[:40]!r}; it can be {', '.join(sorted(_ADAPTERS))}"
            )
    if dtype not in (None, *NUMBERS):
        raise InputError(f"unknown dtype {dtype}; it can be {', '.join(NUMBERS)}")


def _check_converted(name: str, config: dict[str, Any]) -> None:
    """Refuse weights as LLaVA's own code writes them, LLaVA-Med's among them: transformers has other names for them."""
    kinds = config.get("architectures")
    if isinstance(kinds, list) and any(str(kind) in _ORIGINAL_LLAVA for kind in kinds):
        raise InputError(
            f"{name} holds weights as LLaVA's own code writes them; convert them with transformers' script "
            "models/llava/convert_llava_weights_to_hf.py (--old_state_dict_id with this model's name on the hub, "
            "--text_model_id with that of its language model, --vision_model_id openai/clip-vit-large-patch14-336), "
            "add chat_template.jinja with the language model's chat template, and give the folder that it makes"
        )


def _configuration(path: Path) -> dict[str, Any]:
    try:
        config = parse_json(read_bytes(path))
    except OSError as error:
        raise InputError(f"cannot load model: {path}: {error.strerror}; check the path") from error
    except ValueError as error:
        raise InputError(f"cannot load model: {path} is not JSON ({error}); get it again") from error
    if not isinstance(config, dict):
        raise InputError(f"cannot load model: {path} is no JSON object; get it again")
    return config


def _check_no_code(value: Any, path: Path) -> None:
    """Refuse names of code on the hub, which transformers would fetch, and of modules, which PEFT would import."""
    if isinstance(value, dict):
        for key, held in value.items():
            hub = key.endswith(("attn_implementation", "experts_implementation")) and "/" in str(held)
            if hub or (key in ("megatron_config", "kernel_config") and held is not None):
                raise InputError(
                    f"{path} names code elsewhere ({key}), which is not run; remove it if you trust the rest"
                )
            _check_no_code(held, path)
    elif isinstance(value, list):
        for each in value:
            _check_no_code(each, path)


def _check_weights(folder: Path) -> None:
    """Refuse a folder whose files name others outside of it, or below it: a fingerprint is of its own files alone."""
    named: list[tuple[str, Any]] = []
    for path in sorted(folder.glob("*.safetensors.index.json")) if os.path.isdir(folder) else ():
        weights = _object(path).get("weight_map")
        named += [(path.name, shard) for shard in (weights.values() if isinstance(weights, dict) else [])]
    named.append(("config.json", _object(folder / "config.json").get("transformers_weights")))
    parts = _object(folder / "adapter_config.json").get("adapters")  # of a mixture of adapters, by their folders
    named += [("adapter_config.json", part) for part in (parts.values() if isinstance(parts, dict) else [])]
    for file, other in named:
        if isinstance(other, str) and (other != Path(other).name or file == "adapter_config.json"):
            raise InputError(
                f"{file} of {folder} names weights that lie elsewhere ({shorten(other, 80)}), and nothing vouches for "
                "them; move all weights into that folder itself"
            )


def _object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty where there is none: whoever loads the model says what is wrong with it."""
    try:
        value = parse_json(read_bytes(path))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
