"""What can be said of an encoder before open_clip is imported, which takes seconds."""

import os
from pathlib import Path

from titrate import InputError, check_named

LOCAL, HUB = "local-dir:", "hf-hub:"


def local_encoder(id: str) -> Path | None:
    """The folder of an encoder that is named by one, absolute; None if it is named otherwise."""
    return Path(id.removeprefix(LOCAL)).expanduser().resolve() if id.startswith(LOCAL) else None


def check_encoder_files(id: str) -> None:
    """Refuse a folder that holds no encoder.

    Parameters
    ----------
    id
        As for `Encoder.open`. Names of a hub are not looked up.

    Raises
    ------
    InputError
        If it names a folder without a configuration.
    """
    folder = local_encoder(id)
    if folder is not None and not os.path.isfile(folder / "open_clip_config.json"):
        raise InputError(f"no encoder in {folder}: open_clip_config.json is not there; check the path")


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
    if not given:
        check_named("encoder", held, "--encoder")
    return given or held
