"""Opening the backend that an index's settings name: its own folder, or a server."""

import warnings
from pathlib import Path
from urllib.parse import urlsplit

from indexing.stores.backend import Backend
from indexing.stores.edge_backend import EdgeBackend
from indexing.stores.settings import StoreSettings
from titrate import InputError, TitrateWarning, is_this_machine


def tell_of_server(settings: StoreSettings) -> None:
    """Warn that what is indexed leaves this machine, if it does."""
    if settings.url is not None and not is_this_machine(settings.url):
        warnings.warn(
            f"reports, patients and studies go to {urlsplit(settings.url).hostname}, which is not this machine",
            TitrateWarning,
            stacklevel=2,
        )


def open_backend(
    settings: StoreSettings, index_folder: Path, api_key: str | None = None, *, reading: bool = False
) -> Backend:
    """Open the collections of an index.

    Parameters
    ----------
    settings
        As the manifest keeps them.
    index_folder
        Holds the collections where the settings name no server.
    api_key
        Of the server, if it wants one. It is sent to the server that the settings name: hand it over only for an index
        that you made or trust.

    reading
        Nothing will be written: the collections of a folder that is read-only can then be opened.

    Raises
    ------
    InputError
        If there is a key and no server to use it for, or it would go over plain http to another machine.
    TitrateError
        If the server cannot be reached, refuses the key, or is too old.
    """
    if settings.url is None:
        if api_key is not None:
            raise InputError("this index is in a folder and needs no API key; leave it out")
        return EdgeBackend(index_folder, settings, reading=reading)
    from indexing.stores.server import (
        ServerBackend,  # its client takes 0.9 s to import, and an index in a folder needs none
    )

    return ServerBackend(settings, api_key)
