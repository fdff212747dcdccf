"""Mistakes in naming a model, found before torch and transformers are imported, which takes seconds."""

import os
from pathlib import Path

from titrate import InputError, is_address

NUMBERS = ("float32", "bfloat16", "float16")
"""Number formats that a model's weights can have."""


def check_model_files(name: str, *, adapter: Path | None = None, dtype: str | None = None) -> None:
    """Refuse a folder without a model, an adapter without its files, and options that a server does not take.

    Parameters
    ----------
    name
        As for `open_mllm`. Neither the model hub nor a server is asked whether it has the model.
    adapter, dtype
        As for `open_mllm`.

    Raises
    ------
    InputError
        If a folder holds no model or no adapter, the number format is unknown, or an adapter or a number format is
        given with a server, which chooses its own.
    """
    if is_address(name):
        if adapter is not None:
            raise InputError(
                "a server loads adapters itself: leave out the adapter, and name the server's model with it"
            )
        if dtype is not None:
            raise InputError("a server chooses the number format itself: leave out the dtype")
        return
    folder = Path(name).expanduser()
    if not os.path.isfile(folder / "config.json") and (os.path.exists(folder) or name.count("/") != 1):
        raise InputError(f"no model in {name}: config.json is not there; give a model folder or OWNER/NAME of the hub")
    for file in () if adapter is None else ("adapter_config.json", "adapter_model.safetensors"):
        if not os.path.isfile(Path(adapter or "") / file):
            raise InputError(f"no adapter in {adapter}: {file} is not there; make one with `titrate train`")
    if dtype not in (None, *NUMBERS):
        raise InputError(f"unknown dtype {dtype}; it can be {', '.join(NUMBERS)}")
