"""A folder of an encoder as transformers writes it: found, and looked through before anything of it is loaded."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModel

from indexing.encoder_config import check_preprocessing, check_text_config, read_encoder_config
from indexing.encoder_files import TRANSFORMERS, local_encoder
from titrate import InputError, fetch_model, weight_files

_READ = ("config.json", "preprocessor_config.json", "processor_config.json", "tokenizer_config.json")


@dataclass(frozen=True)
class Checkpoint:
    """Where an encoder's files are.

    Attributes
    ----------
    id
        What finds them again; a name of the hub with its commit, so that later ones change nothing.
    folder
        That holds them.
    """

    id: str
    folder: Path


def find_checkpoint(id: str) -> Checkpoint:
    """The folder that a name means, downloaded where that is needed.

    Parameters
    ----------
    id
        As for `Encoder.open`, of an encoder that transformers runs.

    Raises
    ------
    InputError
        If there is none.
    """
    folder = local_encoder(id)
    if folder is not None:
        return Checkpoint(f"{id.partition(':')[0]}:{folder}", folder)
    name = id.removeprefix(TRANSFORMERS)
    folder, commit = fetch_model(name)
    return Checkpoint(f"{TRANSFORMERS}{name.partition('@')[0]}@{commit}", folder)


def read_checkpoint(folder: Path, kinds: Collection[str]) -> dict[str, dict[str, Any]]:
    """Its configurations, by file: what loads it builds what they say.

    Parameters
    ----------
    folder
        With ``config.json`` and weights as safetensors.
    kinds
        Values of ``model_type`` that are encoders.

    Raises
    ------
    InputError
        If it is another model or an adapter, names code, holds no weights, or claims more than its files can hold.
    """
    parts: dict[str, dict[str, Any]] = {}
    for name in _READ:
        if name == "config.json" or (folder / name).exists():
            parts[name] = _read(folder, name)
    config = parts["config.json"]
    if config.get("model_type") not in kinds:
        raise InputError(
            f"it is a model of type {str(config.get('model_type'))[:40]!r}; encoders here are {', '.join(kinds)}"
        )
    if (folder / "adapter_config.json").exists() or "transformers_weights" in config:
        raise InputError("it names weights that lie elsewhere; merge them into a model.safetensors of its own")
    check_text_config(config, "its configuration")
    _check_image_processor(parts)
    _check_weights(folder)
    return parts


def _read(folder: Path, name: str) -> dict[str, Any]:
    value = read_encoder_config(folder, name)
    if not isinstance(value, dict):
        raise InputError(f"{name} is no object; get the encoder again")
    if "auto_map" in value:
        raise InputError(f"it brings Python code of its own ({name}: auto_map), which is not run")
    return value


def _check_image_processor(parts: dict[str, dict[str, Any]]) -> None:
    inner = parts.get("processor_config.json", {}).get("image_processor")
    for part in (parts.get("preprocessor_config.json"), inner):
        if isinstance(part, dict):
            given = {
                short: part[long] for short, long in (("mean", "image_mean"), ("std", "image_std")) if long in part
            }
            check_preprocessing({"mean": [0.5] * 3, "std": [0.5] * 3, **given})
            check_text_config(part, "its image processor")


def _check_weights(folder: Path) -> None:
    files = weight_files(str(folder), folder, {path.name for path in folder.iterdir()})
    if absent := [name for name in files if not (folder / name).is_file()]:
        raise InputError(f"its weights {absent[0]} are not there; download it again")
    most = sum((folder / name).stat().st_size for name in files)  # a weight takes a byte or more
    with torch.device("meta"):  # takes no memory
        model = AutoModel.from_config(
            AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        )
    claimed = sum(parameter.numel() for parameter in model.parameters())
    if claimed > most:
        raise InputError(f"its configuration claims {claimed:.2g} weights, more than its files can hold")
