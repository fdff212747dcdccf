"""Records, and a corpus as a stream of them: what is sound comes out as a record, what is not is named."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from titrate.errors import InputError


@dataclass(frozen=True)
class Record:
    """An image with its report, as the corpus states it.

    Attributes
    ----------
    id
        Unique within the corpus.
    image
        Path of the image, relative to the corpus root.
    report
        The text that retrieval hands to the model.
    domain, patient, study, split
        None where the corpus does not say.
    line
        Where in the corpus it was read, for error reports, counted as in `SkippedRecord`; None when it came from
        elsewhere.
    """

    id: str
    image: str
    report: str
    domain: str | None = None
    patient: str | None = None
    study: str | None = None
    split: str | None = None
    line: int | None = field(default=None, compare=False)


@dataclass(frozen=True)
class SkippedRecord:
    """A piece of the corpus that could not be used, and why, in words for the person who made the corpus.

    Attributes
    ----------
    line
        From 1: the line of a JSON-lines file, the line where the row of a table begins, the number of the row in
        Parquet or of the entry in a JSON list, the ordinal of the file in a folder.
    id
        None where not even that could be read.
    reason
        One line.
    """

    line: int
    id: str | None
    reason: str


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
