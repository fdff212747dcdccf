"""What can be said of an encoder before open_clip is imported, which takes seconds."""

import os
from pathlib import Path

from titrate import InputError, check_named

LOCAL, HUB, TRANSFORMERS, LLAMA_INDEX = "local-dir:", "hf-hub:", "hf:", "llama-index:"
"""How an encoder's name begins: a folder of either library; open_clip's of the hub; transformers', by hub name or
folder; and one that only Python can make."""

OPEN_CLIP_CONFIG, TRANSFORMERS_CONFIG = "open_clip_config.json", "config.json"


def local_encoder(id: str) -> Path | None:
    """The folder of an encoder that is named by one, absolute; None if it is named otherwise."""
    if id.startswith(LOCAL):
        return Path(id.removeprefix(LOCAL)).expanduser().resolve()
    if id.startswith(TRANSFORMERS):
        folder = Path(id.removeprefix(TRANSFORMERS)).expanduser()
        return folder.resolve() if os.path.isdir(folder) else None
    return None


def is_transformers(id: str) -> bool:
    """Whether transformers runs it, and not open_clip: a folder with configurations of both is open_clip's.

    >>> is_transformers("hf:owner/name"), is_transformers("hf-hub:owner/name")
    (True, False)
    """
    folder = local_encoder(id)
    if id.startswith(TRANSFORMERS) or folder is None:
        return id.startswith(TRANSFORMERS)
    return not os.path.isfile(folder / OPEN_CLIP_CONFIG) and os.path.isfile(folder / TRANSFORMERS_CONFIG)


def check_encoder_files(id: str) -> None:
    """Refuse a folder that holds no encoder, and a name that opens none.

    Parameters
    ----------
    id
        As for `Encoder.open`. Names of a hub are not looked up.

    Raises
    ------
    InputError
        If it names a folder without a configuration, or an object of Python.
    """
    if id.startswith(LLAMA_INDEX):
        raise InputError(
            f"encoder {id} is an object of Python, which no name opens; use this index from Python, with "
            "AnsweringSystem(index, Encoder.of_embedding(...), mllm)"
        )
    folder = local_encoder(id)
    if folder is None:
        return
    wanted = [TRANSFORMERS_CONFIG] if id.startswith(TRANSFORMERS) else [OPEN_CLIP_CONFIG, TRANSFORMERS_CONFIG]
    if not any(os.path.isfile(folder / name) for name in wanted):
        raise InputError(f"no encoder in {folder}: {' or '.join(wanted)} is not there; check the path")


def encoder_to_load(given: str | None, held: str) -> str:
    """What the user names, or else what the index does, if this user named the same on this machine before.

    Parameters
    ----------
    given
        As for `Encoder.open`; None if the user names none now.
    held
        The encoder that the index names.

    Raises
    ------
    InputError
        If only the index names it: whoever sent the index could have it load whatever they like.
    """
    if not given and not held.startswith(LLAMA_INDEX):  # told by `check_encoder_files`
        check_named("encoder", held, "--encoder")
    return given or held
