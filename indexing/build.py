"""Building an index, or bringing one up to date.

Records that have left the corpus stay in the index; only a record whose split is no longer the wanted one is removed.
"""

import json
import shutil
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from indexing.domains import DomainClassifier
from indexing.encoder import Encoder
from indexing.intake import CorpusPass, Progress, Tally
from indexing.ledger import Ledger
from indexing.manifest import CLASSIFIER, LEDGER, LOCK, SKIPPED, Manifest, lock_index
from indexing.records import SkippedRecord, read_corpus
from indexing.writer import IndexWriter
from titrate.errors import InputError
from titrate.files import write_atomic


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
        Of these, records that an earlier build had indexed and this one removed.
    skipped
        Records that could not be used, and why; also in ``skipped.jsonl`` in the index folder.
    counts
        Records of each domain that the index now holds.
    """

    embedded: int
    unchanged: int
    other_split: int
    removed: int
    skipped: list[SkippedRecord]
    counts: dict[str, int]


def build_index(
    corpus: Path,
    index: Path,
    encoder: Encoder,
    *,
    root: Path | None = None,
    split: str | None = "train",
    progress: Progress | None = None,
) -> BuildReport:
    """Embed a corpus into an index folder, one collection per domain; embed only what changed since the last build.

    May be killed at any moment and run again: nothing is lost and nothing is there twice.

    Parameters
    ----------
    corpus
        JSON-lines file; see `read_corpus`.
    index
        Folder of the index, made if it is not there.
    encoder
        An index keeps the encoder that it was begun with.
    root
        Folder that image paths are relative to; by default the corpus file's.
    split
        Index the records of this split and those that name none; None indexes all.
    progress
        Told how far the build is.

    Raises
    ------
    InputError
        If the corpus is missing or holds nothing usable, the index belongs to another encoder or is in use, or
        ``index`` is a folder of something else. A new index that came to nothing is not left behind.
    """
    read_corpus(corpus)  # a missing corpus is found before anything is made
    fresh = _claim_folder(index)
    try:
        with ExitStack() as stack:
            stack.enter_context(lock_index(index, exclusive=True))
            ledger = stack.enter_context(Ledger(index / LEDGER))
            ledger.bind(encoder.fingerprint)
            writer = stack.enter_context(IndexWriter(index, ledger, encoder.dimension))
            intake = CorpusPass(encoder, ledger, writer, root or corpus.parent, split, progress)
            intake.run(corpus)
            writer.settle()
            if not ledger.counts():
                raise InputError(_nothing_usable(corpus, split, intake.tally))
            fresh = False
            _complete(index, encoder, ledger, writer)
            _list_skipped(index, intake.tally.skipped)
            return BuildReport(**vars(intake.tally), counts=ledger.counts())
    finally:
        if fresh:
            _remove_if_empty(index)


def _claim_folder(index: Path) -> bool:
    """Make the folder if need be; True if there is no index in it yet."""
    try:
        names = {entry.name for entry in index.iterdir()} if index.exists() else set()
        if names and LEDGER not in names and names != {LOCK}:
            raise InputError(f"{index} is neither empty nor an index; choose another folder")
        index.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make index folder {index}: {error.strerror}; choose another folder") from error
    return LEDGER not in names


def _remove_if_empty(index: Path) -> None:
    """Remove a new index that holds no confirmed record, so that a failed first try leaves nothing behind."""
    try:
        with lock_index(index, exclusive=True), Ledger(index / LEDGER) as ledger:
            if ledger.counts():
                return
            shutil.rmtree(index, ignore_errors=True)
    except InputError:  # somebody else is building there by now
        return


def _complete(index: Path, encoder: Encoder, ledger: Ledger, writer: IndexWriter) -> None:
    """Classifier, search graphs and, last of all, the manifest, unless all of these are there and still true."""
    manifest = Manifest(
        encoder=encoder.id,
        encoder_fingerprint=encoder.fingerprint,
        fingerprint=ledger.fingerprint(encoder.fingerprint),
        dimension=encoder.dimension,
        logit_scale=encoder.logit_scale,
        domains=ledger.counts(),
    )
    if not writer.changed and _is_complete(index, manifest):
        return
    writer.optimize()
    writer.fit_classifier().save(index / CLASSIFIER)
    manifest.save(index)


def _is_complete(index: Path, manifest: Manifest) -> bool:
    try:
        return Manifest.load(index) == manifest and DomainClassifier.load(index / CLASSIFIER).domains == [
            *manifest.domains
        ]
    except InputError:
        return False


def _list_skipped(index: Path, skipped: list[SkippedRecord]) -> None:
    if skipped:
        lines = (json.dumps(asdict(record), ensure_ascii=False) for record in skipped)
        write_atomic(index / SKIPPED, "\n".join(lines) + "\n")
    else:
        (index / SKIPPED).unlink(missing_ok=True)


def _nothing_usable(corpus: Path, split: str | None, tally: Tally) -> str:
    if tally.skipped:
        first = tally.skipped[0]
        return f"{corpus} holds no usable record; the first problem is in line {first.line}: {first.reason}"
    if tally.other_split:
        return f"{corpus} holds no record of split {split!r}; choose another split, or none for all"
    return f"{corpus} is empty; it needs one JSON object a line with id, image and report"
