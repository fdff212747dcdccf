"""Where the collections of one index live, one for each domain; manifest, ledger and classifier stay in its folder.

A domain cannot be told from the name of its collection: the ledger and the manifest know the domains.
"""

import os
import shutil
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType

from indexing.edge import EdgeStore, size_on_disk
from indexing.manifest import COLLECTIONS, collection_folder
from indexing.store import VectorStore
from indexing.store_settings import StoreSettings
from titrate.errors import InputError, TitrateError


class Backend(ABC):
    """The collections of one index; a context manager. Close the stores that it opened first.

    Attributes
    ----------
    settings
        As the manifest keeps them.
    location
        Folder or URL, for people.
    """

    def __init__(self, settings: StoreSettings, location: str) -> None:
        self.settings = settings
        self.location = location

    def __enter__(self) -> "Backend":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def create(self, domain: str, dimension: int) -> VectorStore:
        """A new, empty collection for embeddings of length ``dimension``; there must be none of that domain yet."""

    @abstractmethod
    def open(self, domain: str, dimension: int) -> VectorStore:
        """An existing collection.

        Raises
        ------
        TitrateError
            If it is missing, cannot be used, or holds vectors of another length.
        """

    @abstractmethod
    def exists(self, domain: str) -> bool:
        """True if the domain has a collection."""

    @abstractmethod
    def collections(self) -> list[str]:
        """Names of this index's collections, sorted."""

    @abstractmethod
    def drop_all(self) -> None:
        """Delete every collection of this index."""

    @abstractmethod
    def size_bytes(self) -> int | None:
        """What the collections take on disk; None where that cannot be known."""

    @abstractmethod
    def close(self) -> None:
        """Release connections."""


class EdgeBackend(Backend):
    """Collections on Qdrant Edge, inside the index folder."""

    def __init__(self, folder: Path, settings: StoreSettings) -> None:
        super().__init__(settings, str(folder))
        self._folder = folder

    def create(self, domain: str, dimension: int) -> VectorStore:
        """A new collection; see `Backend.create`."""
        return EdgeStore.create(collection_folder(self._folder, domain), dimension, self.settings.quantization)

    def open(self, domain: str, dimension: int) -> VectorStore:
        """An existing collection; see `Backend.open`."""
        return EdgeStore.open(collection_folder(self._folder, domain), dimension)

    def exists(self, domain: str) -> bool:
        """True if the domain has a collection."""
        return collection_folder(self._folder, domain).exists()

    def collections(self) -> list[str]:
        """Names of this index's collections, sorted."""
        return sorted(f.name for f in (self._folder / COLLECTIONS).glob("*") if not f.name.startswith("."))

    def drop_all(self) -> None:
        """Delete every collection of this index."""
        for name in self.collections():
            folder = self._folder / COLLECTIONS / name
            aside = folder.with_name(f".{name}.old")  # a kill half way leaves no half of a collection under its name
            try:
                shutil.rmtree(aside, ignore_errors=True)
                os.rename(folder, aside)
                shutil.rmtree(aside)
            except OSError as error:
                raise TitrateError(f"cannot delete collection {folder}: {error.strerror}; check its rights") from error

    def size_bytes(self) -> int:
        """What the collections take on disk: blocks in use, as Edge reserves more room than it fills."""
        return size_on_disk(self._folder / COLLECTIONS)

    def close(self) -> None:
        """Nothing to release."""


def open_backend(settings: StoreSettings, index_folder: Path, api_key: str | None = None) -> Backend:
    """The place that an index's settings name.

    Parameters
    ----------
    settings
        As the manifest keeps them.
    index_folder
        Holds the collections where the settings name no server.
    api_key
        Of the server, if it wants one. It is sent to the server that the settings name: hand it over only for an index
        that you made or trust.

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
        return EdgeBackend(index_folder, settings)
    from indexing.server import ServerBackend  # its client takes 0.9 s to import, and an index in a folder needs none

    return ServerBackend(settings, api_key)
