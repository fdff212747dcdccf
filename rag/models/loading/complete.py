"""Whether all of a model came from its files: what did not would be random numbers, and other ones in each run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from peft import PeftModel, get_peft_model_state_dict
from safetensors import safe_open

from titrate import InputError


def check_complete(name: str, loading: Mapping[str, Any]) -> None:
    """Refuse a model some of whose weights were not in its files, or have another shape there.

    Parameters
    ----------
    name
        The model's, for the message.
    loading
        What transformers says of the loading (``output_loading_info``).

    Raises
    ------
    InputError
        If anything is missing.
    """
    missing, misshapen = sorted(loading["missing_keys"]), sorted(str(key) for key in loading["mismatched_keys"])
    if not missing and not misshapen:
        return
    first, what = (missing[0], "missing") if missing else (misshapen[0], "of another shape than its configuration says")
    unused = len(loading["unexpected_keys"])
    more = f"; {unused} others have names that it does not know" if unused else ""
    raise InputError(
        f"cannot load model {name}: {len(missing) + len(misshapen)} of its weights are {what}, {first} first{more}; "
        "download it again, or use the version of transformers that it was saved with"
    )


def check_adapter(adapter: Path, name: str, model: PeftModel) -> None:
    """Refuse an adapter whose weights are not those that the model with it has.

    Parameters
    ----------
    adapter
        Its folder.
    name
        The model's, for the message.
    model
        The model with the adapter.

    Raises
    ------
    InputError
        If a weight of the adapter has no place in the model, or a place has no weight.
    """
    with safe_open(adapter / "adapter_model.safetensors", framework="pt") as file:
        given = set(file.keys())
    taken = set(get_peft_model_state_dict(model, save_embedding_layers=False))
    if strange := sorted(given ^ taken):
        raise InputError(
            f"adapter {adapter} was made for another model than {name}: {len(given - taken)} of its {len(given)} "
            f"weights have no place there and {len(taken - given)} are missing, {strange[0]} first; "
            "name the model it was made for"
        )
