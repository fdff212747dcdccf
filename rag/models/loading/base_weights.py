"""Which weights an adapter was trained on: on others of the same shape it opens, and gives other answers."""

import hashlib
import json
import warnings
from pathlib import Path

from titrate import InputError, JsonFields, TitrateWarning, open_file, parse_json, printable, read_bytes, write_atomic

BASE_WEIGHTS = "base_weights.json"
"""File of an adapter's folder: SHA-256 of each file of weights of its base model."""

_REMEDY = "train the adapter again, or get its folder again from where it came"


def write_base_weights(adapter: Path, model: Path, quantize: str | None = None) -> None:
    """Note which weights an adapter was trained on.

    Parameters
    ----------
    adapter
        Its folder.
    model
        The folder of its base model.
    quantize
        How these weights were quantised while they were loaded, see `LoadingOptions`.
    """
    held = {"schema_version": 2, "sha256": _hashes(model), "quantize": quantize or "none"}
    write_atomic(adapter / BASE_WEIGHTS, json.dumps(held) + "\n")


def check_base_weights(adapter: Path, model: Path, name: str, quantize: str | None = None) -> None:
    """Refuse an adapter that was trained on other weights; warn about one that does not say on which.

    On the same weights, but quantised otherwise, it is opened with a warning: that is usual, and it answers otherwise.

    Parameters
    ----------
    adapter
        Its folder.
    model, name
        The folder of the model that it is to change, and how the user calls that.
    quantize
        How that is quantised while it is loaded.

    Raises
    ------
    InputError
        If the weights are not those, or what the adapter says cannot be read.
    """
    path = adapter / BASE_WEIGHTS
    if not path.exists():
        said = _named_base(adapter)
        base = f", only that its base is called {printable(said, longest=100)}" if said else ""
        warnings.warn(
            f"adapter {adapter} does not say which weights it was trained on{base}; on others than those its answers "
            f"are of no worth: make sure that {name} is its base",
            TitrateWarning,
            stacklevel=3,
        )
        return
    try:
        value = parse_json(read_bytes(path))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; {_REMEDY}") from error
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error}); {_REMEDY}") from error
    schema = value.get("schema_version") if isinstance(value, dict) else None
    if schema not in (1, 2):
        raise InputError(f"{path} is of no schema version that is known (1, 2); {_REMEDY}")
    names = ("schema_version", "sha256", *(["quantize"] if schema == 2 else []))  # 1 knew no quantised weights
    fields = JsonFields(value, str(path), names, _REMEDY)
    if sorted(fields.texts("sha256")) != _hashes(model):
        raise InputError(
            f"adapter {adapter} was trained on other weights than those of {name}; name the model it was made for, or "
            "train it again on this one"
        )
    trained, now = fields.text("quantize") if schema == 2 else "none", quantize or "none"
    if trained != now:
        warnings.warn(
            f"adapter {adapter} was trained with weights quantised as {printable(trained, longest=20)} and is now used "
            f"with {now}: it answers otherwise than it was trained to; give --quantize-model accordingly",
            TitrateWarning,
            stacklevel=3,
        )


def _hashes(model: Path) -> list[str]:
    """SHA-256 of each file of weights, sorted: what the files are called does not matter."""
    hashes = []
    for path in model.glob("*.safetensors"):
        with open_file(path) as file:
            hashes.append(hashlib.file_digest(file, "sha256").hexdigest())
    return sorted(hashes)


def _named_base(adapter: Path) -> str:
    try:
        value = parse_json(read_bytes(adapter / "adapter_config.json"))
    except (OSError, ValueError):
        return ""
    base = value.get("base_model_name_or_path") if isinstance(value, dict) else None
    return base if isinstance(base, str) else ""
