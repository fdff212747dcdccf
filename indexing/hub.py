"""The model hub where there is none: asked once, in seconds, and not again for every file."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from indexing.encoder_config import read_encoder_config
from indexing.encoder_files import LOCAL

PATIENCE = 3.0
"""Seconds in which the hub has to answer at all; its client would try each file for 23."""


@contextmanager
def only_what_is_cached_if_unreachable(name: str) -> Iterator[None]:
    """While the body runs, take what a name of the hub means from the local cache, if the hub does not answer.

    Parameters
    ----------
    name
        The encoder's. For a folder the hub is asked only where that takes its text model from there.
    """
    from huggingface_hub import constants

    if not _asks_the_hub(name) or constants.HF_HUB_OFFLINE or _answers(constants.ENDPOINT):
        yield
        return
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = False


def _asks_the_hub(name: str) -> bool:
    if not name.startswith(LOCAL):
        return True
    config: Any = read_encoder_config(Path(name.removeprefix(LOCAL)))
    try:
        return bool(config["model_cfg"]["text_cfg"].get("hf_model_name"))
    except (AttributeError, KeyError, TypeError):  # told by what checks it
        return False


def _answers(address: str) -> bool:
    """Whether anything answers there: looking up a host's name takes as long as the system likes."""
    import httpx

    answered = threading.Event()

    def ask() -> None:
        try:
            httpx.head(address, timeout=PATIENCE)
        except (httpx.HTTPError, httpx.InvalidURL, OSError):
            return
        answered.set()

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return answered.is_set()
