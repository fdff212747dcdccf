"""Records: an image with its report, and what is told of a piece of a corpus that is none."""

from dataclasses import dataclass, field


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
