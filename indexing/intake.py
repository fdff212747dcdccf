"""One pass over a corpus: decode in threads, embed in batches, write in batches, in bounded memory."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from indexing.encoder import Encoder
from indexing.images import decode_image, read_image_bytes, resolve_image
from indexing.ledger import Ledger
from indexing.records import Record, SkippedRecord, count_lines, read_corpus
from indexing.store import Point
from indexing.writer import Entry, IndexWriter
from titrate.errors import InputError
from titrate.files import hash_bytes, hash_json

BATCH = 64
THREADS = min(8, os.cpu_count() or 1)

Progress = Callable[[int, int], None]
"""Called as the build goes on with (corpus lines done, corpus lines in all)."""


@dataclass
class Tally:
    """What became of the corpus's lines; the fields are those of `BuildReport`."""

    embedded: int = 0
    unchanged: int = 0
    other_split: int = 0
    removed: int = 0
    skipped: list[SkippedRecord] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A record read in a worker thread; ``pixels`` is None when the index already holds this content."""

    record: Record
    content: str
    pixels: torch.Tensor | None


class CorpusPass:
    """Takes each line of a corpus to where it belongs: the index, the split left out, or the list of the skipped."""

    def __init__(
        self,
        encoder: Encoder,
        ledger: Ledger,
        writer: IndexWriter,
        root: Path,
        split: str | None,
        progress: Progress | None,
    ) -> None:
        self.tally = Tally()
        self._encoder, self._ledger, self._writer = encoder, ledger, writer
        self._root, self._split = root, split
        self._progress, self._total, self._done = progress, 0, 0
        self._batch: list[_Prepared] = []

    def run(self, corpus: Path) -> None:
        """Read, embed and write every record; memory holds at most a few batches."""
        self._total = count_lines(corpus)
        waiting: deque[Future[_Prepared | SkippedRecord]] = deque()
        pool = ThreadPoolExecutor(THREADS, "decode")
        try:
            for record in self._wanted(corpus):
                waiting.append(pool.submit(self._prepare, record, self._ledger.confirmed(record.id)))
                if len(waiting) > 2 * BATCH:
                    self._take(waiting.popleft().result())
            while waiting:
                self._take(waiting.popleft().result())
            self._write_batch()
        finally:
            pool.shutdown(cancel_futures=True)

    def _wanted(self, corpus: Path) -> Iterator[Record]:
        """Records to index; the others are tallied here."""
        for record in read_corpus(corpus):
            if isinstance(record, SkippedRecord):
                self._skip(record)
                continue
            line = record.line or 0
            first = self._ledger.first_line(record.id, line)
            if first != line:
                self._skip(SkippedRecord(line, record.id, f"same id as line {first}"))
            elif self._split is not None and record.split not in (None, self._split):
                self.tally.other_split += 1
                # A patient moved from the indexed split to a held-out one must not be retrieved any more.
                self.tally.removed += self._writer.withdraw(record.id)
                self._advance()
            else:
                yield record

    def _prepare(self, record: Record, known: str | None) -> _Prepared | SkippedRecord:
        """Runs in a worker thread: read, hash and, unless the index holds the same already, decode."""
        try:
            data = read_image_bytes(resolve_image(self._root, record.image))
            content = content_hash(record, data)
            pixels = None if content == known else self._encoder.preprocess(decode_image(data, record.image))
        except InputError as error:
            return SkippedRecord(record.line or 0, record.id, str(error))
        return _Prepared(record, content, pixels)

    def _take(self, result: _Prepared | SkippedRecord) -> None:
        if isinstance(result, SkippedRecord):
            self._skip(result)
        elif result.pixels is None:
            self.tally.unchanged += 1
            self._advance()
        else:
            self._batch.append(result)
            if len(self._batch) == BATCH:
                self._write_batch()

    def _write_batch(self) -> None:
        if not self._batch:
            return
        pixels = [item.pixels for item in self._batch if item.pixels is not None]
        images = self._encoder.embed_pixels(torch.stack(pixels))
        texts = self._encoder.embed_texts([item.record.report for item in self._batch])
        self._writer.write(
            [
                Entry(Point(item.record, image, text), item.content)
                for item, image, text in zip(self._batch, images, texts, strict=True)
            ]
        )
        self.tally.embedded += len(self._batch)
        self._advance(len(self._batch))
        self._batch.clear()

    def _skip(self, record: SkippedRecord) -> None:
        self.tally.skipped.append(record)
        self._advance()

    def _advance(self, records: int = 1) -> None:
        self._done += records
        if self._progress is not None:
            self._progress(self._done, self._total)


def content_hash(record: Record, image: bytes) -> str:
    """SHA-256 over the image file's bytes and every field of the record that the index keeps."""
    fields = asdict(record)
    del fields["line"]
    return hash_bytes(image, hash_json(fields).encode())
