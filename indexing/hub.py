"""The model hub where there is none: asked once, in seconds, and not again for every file."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE = 3.0
"""Seconds in which the hub has to answer at all; its client would try each file for 23."""


@contextmanager
def only_what_is_cached_if_unreachable(asks: bool) -> Iterator[None]:
    """While the body runs, take what a name of the hub means from the local cache, if the hub does not answer.

    Parameters
    ----------
    asks
        Whether the body needs anything of the hub.
    """
    from huggingface_hub import constants

    if not asks or constants.HF_HUB_OFFLINE or _answers(constants.ENDPOINT):
        yield
        return
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = False


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
