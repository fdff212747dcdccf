"""The place of one index's collections, one for each domain; manifest, ledger and classifier stay in its folder.

The name of a collection does not give its domain away; the ledger and the manifest say which domains there are.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import TracebackType

from indexing.stores.base import VectorStore
from indexing.stores.settings import StoreSettings


class Backend(ABC):
    """The collections of one index; a context manager. Stores that it opened must be closed before it.

    Attributes
    ----------
    settings
        As the manifest keeps them.
    location
        The folder or the server's URL, to be shown.
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
    def compact(self, domain: str, dimension: int) -> None:
        """Rid a closed collection of what was deleted from it, which an engine may only have marked so.

        Raises
        ------
        TitrateError
            If it cannot be read or written.
        """

    @abstractmethod
    def drop_all(self) -> None:
        """Delete every collection of this index."""

    @abstractmethod
    def seal(self, domains: Mapping[str, int], dimension: int) -> dict[str, str]:
        """Bring the files of closed collections into the state in which they stay; then as `checksums`.

        Parameters
        ----------
        domains, dimension
            As the manifest will have them.

        Raises
        ------
        TitrateError
            If a collection cannot be opened.
        """

    @abstractmethod
    def checksums(self) -> dict[str, str]:
        """Checksum of each of the collections' files by its name; empty where they are on a server.

        Raises
        ------
        InputError
            If a file cannot be read.
        """

    @abstractmethod
    def size_bytes(self) -> int | None:
        """What the collections take on disk; None where that cannot be known."""

    @abstractmethod
    def close(self) -> None:
        """Release connections."""
