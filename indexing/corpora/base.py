"""A corpus as a stream of records, in which what cannot be used stands as a skipped record with the reason."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

from indexing.records import Record, SkippedRecord
from titrate import InputError


class Corpus(ABC):
    """One corpus, streamed: memory does not grow with it, and it may be iterated more than once.

    Attributes
    ----------
    path
        The file or folder it is read from.
    root
        Folder that image paths are relative to.
    """

    path: Path
    root: Path

    @abstractmethod
    def __iter__(self) -> Iterator[Record | SkippedRecord]:
        """What cannot be used comes out as a `SkippedRecord`; only a file that is damaged as a whole raises."""

    @abstractmethod
    def __len__(self) -> int:
        """How many records an iteration yields, the unusable ones too, for a progress bar; takes one quick pass."""


def open_failed(path: Path, error: OSError) -> InputError:
    """The one-line error for a corpus that the system will not open."""
    return InputError(f"cannot read corpus {path}: {error.strerror or error}; check the path")
