"""What a build, or a check of a corpus, says when it is done."""

from dataclasses import dataclass

from indexing.records import SkippedRecord


@dataclass(frozen=True)
class BuildReport:
    """What one build did.

    Attributes
    ----------
    embedded, unchanged
        Records whose embeddings were computed, and records that the index already held as they are.
    other_split
        Records left out because they belong to another split.
    removed
        Records that an earlier build had indexed and this one removed.
    skipped
        Number of records that could not be used; each with its reason in ``skipped.jsonl`` in the index folder.
    problems
        The first of these.
    counts
        Records of each domain that the index now holds.
    long_reports
        How many of the records read have a report of more than `LONG_REPORT` words, of which a model may read a part.
    no_pictures
        How many of the skipped are no pictures of patients: masks, doses, documents, labels of slides.
    cut_reports
        How many of the embedded reports are longer than the encoder reads; 0 where that is not known.
    """

    embedded: int
    unchanged: int
    other_split: int
    removed: int
    skipped: int
    problems: list[SkippedRecord]
    counts: dict[str, int]
    long_reports: int = 0
    no_pictures: int = 0
    cut_reports: int = 0


@dataclass(frozen=True)
class CorpusReport:
    """What `check_corpus` found: numbers of records as in `BuildReport`, and those that an index would hold."""

    usable: int
    other_split: int
    skipped: int
    problems: list[SkippedRecord]
    long_reports: int = 0
    no_pictures: int = 0
