"""The collections of one index on Qdrant Edge, in its folder: made, replaced, deleted and compared with checksums."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from indexing.stores.backend import Backend
from indexing.stores.base import VectorStore
from indexing.stores.checksums import file_checksums
from indexing.stores.disk import size_on_disk
from indexing.stores.edge import EdgeStore
from indexing.stores.naming import COLLECTIONS, collection_folder
from indexing.stores.settings import StoreSettings
from titrate import TitrateError, one_line_errors


class EdgeBackend(Backend):
    """Collections on Qdrant Edge, inside the index folder."""

    def __init__(self, folder: Path, settings: StoreSettings, *, reading: bool = False) -> None:
        super().__init__(settings, str(folder))
        self._folder, self._reading = folder, reading

    def create(self, domain: str, dimension: int) -> VectorStore:
        """A new collection; see `Backend.create`."""
        return EdgeStore.create(collection_folder(self._folder, domain), dimension, self.settings.quantization)

    def open(self, domain: str, dimension: int) -> VectorStore:
        """An existing collection; see `Backend.open`."""
        folder = collection_folder(self._folder, domain)
        return EdgeStore.read(folder, dimension) if self._reading else EdgeStore.open(folder, dimension)

    def exists(self, domain: str) -> bool:
        """True if the domain has a collection."""
        folder = collection_folder(self._folder, domain)
        loose, dense = _ways_of(folder)
        if loose.exists() and not folder.exists():  # a kill came between the two renames of `compact`
            os.rename(dense, folder)
        return folder.exists()

    def compact(self, domain: str, dimension: int) -> None:
        """Copy every point to a new collection, which takes the old one's place; see `Backend.compact`."""
        folder = collection_folder(self._folder, domain)
        loose, dense = _ways_of(folder)
        for leftover in (loose, dense):
            shutil.rmtree(leftover, ignore_errors=True)
        old = EdgeStore.open(folder, dimension)
        try:
            new = EdgeStore.create(dense, dimension, self.settings.quantization)
            try:
                old.copy_to(new)
                new.flush()
            finally:
                new.close()
        finally:
            old.close()
        with one_line_errors(f"cannot replace collection {folder}", "check its rights"):
            os.rename(folder, loose)
            os.rename(dense, folder)
            shutil.rmtree(loose)

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

    def seal(self, domains: Mapping[str, int], dimension: int) -> dict[str, str]:
        """Checksum of every file; see `Backend.seal`."""
        for domain in domains:  # the first opening after a change puts away what the engine has left open
            self.open(domain, dimension).close()
        return self.checksums()

    def checksums(self) -> dict[str, str]:
        """Checksum of every file; see `Backend.checksums`."""
        with one_line_errors(f"cannot read the collections of {self._folder}", "build the index anew"):
            return file_checksums(self._folder / COLLECTIONS)

    def close(self) -> None:
        """Nothing to release."""


def _ways_of(folder: Path) -> tuple[Path, Path]:
    """Where a collection lies while one without its removed points takes its place, and where that is made."""
    return folder.with_name(f".{folder.name}.loose"), folder.with_name(f".{folder.name}.dense")
