"""What a corpus is read as: records, which are images with their reports, and notes of what could not be read."""

from dataclasses import dataclass, field

from titrate import normal_id


@dataclass(frozen=True)
class Record:
    """An image with its report, as the corpus states it.

    Attributes
    ----------
    id
        Unique within the corpus; its `normal_id`.
    image
        Path of the image, relative to the corpus root.
    report
        The text that retrieval hands to the model.
    patient, study
        The `normal_id` of each; None where the corpus does not say.
    domain, split
        As the corpus names them; None where it does not say.
    line
        Where in the corpus it was read, for messages, counted as in `SkippedRecord`; None for a record that was read
        from an index.
    """

    id: str
    image: str
    report: str
    domain: str | None = None
    patient: str | None = None
    study: str | None = None
    split: str | None = None
    line: int | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", normal_id(self.id) or self.id)
        for name in ("patient", "study"):
            object.__setattr__(self, name, normal_id(getattr(self, name)))


@dataclass(frozen=True)
class SkippedRecord:
    """A part of the corpus that could not be used, with the reason in words for the person who made the corpus.

    Attributes
    ----------
    line
        From 1: the line of a JSON-lines file, the line where the row of a table begins, the number of the row in
        Parquet or of the entry in a JSON list, the ordinal of the file in a folder.
    id
        Of the record; None if not even that could be read.
    reason
        One line of text.
    no_picture
        Whether it was left out because it is no picture of a patient: a mask, a form, the label of a slide.
    """

    line: int
    id: str | None
    reason: str
    no_picture: bool = False
