"""Reading a corpus: each record's image is read and decoded in threads; what cannot be used is listed as skipped."""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from PIL import Image

from indexing.copies import perceptual_hash
from indexing.corpora.base import Corpus
from indexing.folder.ledger import Ledger
from indexing.images.decode import decode_image, decoding_version
from indexing.images.files import read_image_bytes, resolve_image
from indexing.images.not_pictures import NoPictureError
from indexing.images.view import AS_THE_FILE_SAYS, ImageView
from indexing.records import Record, SkippedRecord
from indexing.segmenting import words
from titrate import InputError, hash_bytes, hash_json

THREADS = min(8, os.cpu_count() or 1)
DECODE_AHEAD = 128
"""Number of records that are decoded before they are asked for: enough to keep the threads busy, in bounded memory."""

HELD_OUT_SPLIT, HELD_OUT_IMAGES = "prefer", 4000
"""Images of this split set the threshold of "none of these". In a corpus of more records than this number, each of them
is drawn with the probability 4000 / number of records."""

MAX_PROBLEMS = 20
"""Skipped records that a report holds; all are in the index folder's list."""

LONG_REPORT = 150
"""Words of a report that a model with a context of 4,096 tokens may not be able to read whole beside seven others."""

Progress = Callable[[int, int], None]
"""Called as the work goes on with (records done, records in all)."""

Pixels = TypeVar("Pixels")


@dataclass(frozen=True)
class CorpusOptions:
    """Which records of a corpus are used, and how they are read.

    Attributes
    ----------
    root
        Folder that image paths are relative to; by default the corpus file's.
    fields
        The corpus's column for each field that has another name there: ``{"report": "findings"}``.
    split
        Use the records of this split and those that name none; None uses all.
    limit
        Read the first so many records only.
    strict
        Stop at the first record that cannot be used, instead of skipping it.
    view
        Window and frame to show of each image; None for those of the index that is built, and where there is none, the
        file's own window and the middle frame.
    """

    root: Path | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    split: str | None = "train"
    limit: int | None = None
    strict: bool = False
    view: ImageView | None = None

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise InputError(f"limit is {self.limit}; give at least 1")


@dataclass
class BuildCounts:
    """How many of the records read so far were embedded, skipped and so on; the fields are those of `BuildReport`."""

    embedded: int = 0
    unchanged: int = 0
    other_split: int = 0
    removed: int = 0
    skipped: int = 0
    problems: list[SkippedRecord] = field(default_factory=list)
    long_reports: int = 0
    no_pictures: int = 0
    cut_reports: int = 0


@dataclass(frozen=True, eq=False)
class Prepared(Generic[Pixels]):
    """A record that was read, with its content hash; ``pixels`` is None if the index holds this content already.

    ``picture`` is the image's `perceptual_hash`, empty where there are no pixels.
    """

    record: Record
    content: str
    pixels: Pixels | None
    held_out: bool
    picture: bytes


class CorpusReader(Generic[Pixels]):
    """One pass over a corpus, in its order.

    Parameters
    ----------
    corpus, options
        What to read, and how.
    ledger
        Knows which contents are there already, and which ids this pass has seen.
    prepare
        Called in a worker thread with each decoded image; what it returns is the record's ``pixels``.
    on_skipped
        Called with each record that cannot be used.
    withdraw
        Called with the id of each record that belongs to another split; returns True if it had been indexed.
    progress
        Told how far the pass is.
    """

    def __init__(
        self,
        corpus: Corpus,
        options: CorpusOptions,
        ledger: Ledger,
        prepare: Callable[[Image.Image], Pixels],
        on_skipped: Callable[[SkippedRecord], object],
        withdraw: Callable[[str], bool],
        progress: Progress | None,
    ) -> None:
        self.counts = BuildCounts()
        self._corpus, self._options, self._ledger, self._prepare_image = corpus, options, ledger, prepare
        self._on_skipped, self._withdraw, self._progress = on_skipped, withdraw, progress
        total = len(corpus)
        self._total = total if options.limit is None else min(total, options.limit)
        self._share = min(1.0, HELD_OUT_IMAGES / max(1, total))
        self._done = 0

    def records(self) -> Iterator[Prepared[Pixels]]:
        """Every usable record; what is taken is counted by `advance`."""
        waiting: deque[Future[Prepared[Pixels] | SkippedRecord]] = deque()
        pool = ThreadPoolExecutor(THREADS, "decode")
        try:
            for record, held_out in self._wanted():
                known = self._ledger.held_out_hash(record.id) if held_out else self._ledger.confirmed(record.id)
                waiting.append(pool.submit(self._prepare, record, known, held_out))
                if len(waiting) > DECODE_AHEAD:
                    yield from self._usable(waiting.popleft().result())
            while waiting:
                yield from self._usable(waiting.popleft().result())
        finally:
            pool.shutdown(cancel_futures=True)

    def advance(self, records: int = 1) -> None:
        """Count records as done."""
        self._done += records
        if self._progress is not None:
            self._progress(self._done, max(self._total, self._done))

    def _wanted(self) -> Iterator[tuple[Record, bool]]:
        """Records to read, and whether each is held out; the others are tallied here."""
        for number, record in enumerate(self._corpus):
            if number == self._options.limit:
                return
            if isinstance(record, SkippedRecord):
                self._skip(record)
                continue
            line = record.line or 0
            first = self._ledger.first_line(record.id, line)
            other = self._options.split is not None and record.split not in (None, self._options.split)
            if first != line:
                self._skip(SkippedRecord(line, record.id, f"same id as line {first}"))
                continue
            held_out = other and record.split == HELD_OUT_SPLIT and _is_drawn(record.id, self._share)
            if not held_out:
                self._ledger.drop_held_out(record.id)
            if other:
                self.counts.other_split += 1
                # A patient moved from the indexed split to a held-out one must not be retrieved any more.
                self.counts.removed += self._withdraw(record.id)
            if held_out or not other:
                yield record, held_out
            else:
                self.advance()

    def _prepare(self, record: Record, known: str | None, held_out: bool) -> Prepared[Pixels] | SkippedRecord:
        """Runs in a worker thread: read, hash and, unless this content is known, decode."""
        view = self._options.view or AS_THE_FILE_SAYS
        try:
            data = read_image_bytes(resolve_image(self._corpus.root, record.image))
            content = content_hash(record, data, view)
            if content == known:
                return Prepared(record, content, None, held_out, b"")
            image = decode_image(data, record.image, view)
            return Prepared(record, content, self._prepare_image(image), held_out, perceptual_hash(image))
        except InputError as error:
            return SkippedRecord(record.line or 0, record.id, str(error), isinstance(error, NoPictureError))

    def _usable(self, result: Prepared[Pixels] | SkippedRecord) -> Iterator[Prepared[Pixels]]:
        if isinstance(result, SkippedRecord):
            self._skip(result)
            return
        self.counts.long_reports += not result.held_out and len(words(result.record.report)) > LONG_REPORT
        if result.pixels is None:
            self.counts.unchanged += not result.held_out
            self.advance()
        else:
            yield result

    def _skip(self, record: SkippedRecord) -> None:
        if self._options.strict:
            raise InputError(f"line {record.line} of the corpus cannot be used: {record.reason}")
        self.counts.skipped += 1
        self.counts.no_pictures += record.no_picture
        if len(self.counts.problems) < MAX_PROBLEMS:
            self.counts.problems.append(record)
        self._on_skipped(record)
        self.advance()


def content_hash(record: Record, image: bytes, view: ImageView) -> str:
    """SHA-256 over the image file's bytes, how they are decoded, and every field of the record that the index keeps."""
    fields = asdict(record)
    del fields["line"]
    version = decoding_version(image)
    # Version 1 is left out, so that the hashes of what is decoded as ever stay as they were.
    parts = [fields, asdict(view)] if version == 1 else [fields, asdict(view), version]
    return hash_bytes(image, hash_json(parts).encode())


def _is_drawn(id: str, share: float) -> bool:
    """A draw that depends on nothing but the id, so that a second run draws the same."""
    return int.from_bytes(hashlib.sha256(id.encode()).digest()[:4]) < share * 2**32
