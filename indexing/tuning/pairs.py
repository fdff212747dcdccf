"""An archive's pairs of image and report, read through once, and the patients who are held out of training."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from indexing.building.reader import BuildCounts, CorpusOptions, CorpusReader, Progress
from indexing.corpora.open import open_corpus
from indexing.folder.ledger import Ledger
from indexing.images.decode import decode_image
from indexing.images.files import read_image_bytes, resolve_image
from indexing.images.view import AS_THE_FILE_SAYS, ImageView
from indexing.records import Record, SkippedRecord
from titrate import InputError, hash_bytes, hash_json, hash_patient, independent_unit

MOST_HELD_OUT = 1000
"""Records that are held out at most: more take longer to measure recall on, and tell little more."""

_KEY = b"of pseudonyms that are not kept"


@dataclass(frozen=True)
class Pair:
    """A record that can be trained on.

    Attributes
    ----------
    record
        As the corpus has it.
    content
        Hash of its image and its fields.
    unit
        Hash of its patient, or else of its study, or else of itself.
    """

    record: Record
    content: str
    unit: str


@dataclass(frozen=True)
class Archive:
    """The pairs of a corpus, and what was not one.

    Attributes
    ----------
    pairs
        In the corpus's order.
    root, view
        Where the images are, and what is shown of each.
    counts
        Of the records that were left out.
    """

    pairs: Sequence[Pair]
    root: Path
    view: ImageView
    counts: BuildCounts

    @property
    def digest(self) -> str:
        """Of all that training reads of it."""
        return hash_json([pair.content for pair in self.pairs])

    def image(self, pair: Pair) -> Image.Image:
        """A pair's image, read again.

        Raises
        ------
        InputError
            If it cannot be read any more.
        """
        name = pair.record.image
        return decode_image(read_image_bytes(resolve_image(self.root, name)), name, self.view)


def read_archive(
    corpus: Path, options: CorpusOptions, on_skipped: Callable[[SkippedRecord], object], progress: Progress | None
) -> Archive:
    """Read and decode every record, as `index` would; images are not kept.

    Parameters
    ----------
    corpus
        See `open_corpus`.
    options
        Which records are used, and how they are read.
    on_skipped
        Called with each record that cannot be used.
    progress
        Told how far it is.

    Raises
    ------
    InputError
        If the corpus cannot be read at all, holds nothing that can be used or, when strict, at the first record that
        cannot be.
    """
    opened = open_corpus(corpus, fields=options.fields, root=options.root, key=_KEY)
    pairs = []
    with Ledger(None) as ledger:
        reader = CorpusReader(opened, options, ledger, lambda _: True, on_skipped, lambda _: False, progress)
        for prepared in reader.records():
            reader.advance()
            if not prepared.held_out:
                record = prepared.record
                unit = hash_patient(independent_unit(record.patient, record.study, record.id))
                pairs.append(Pair(record, prepared.content, unit))
    if not pairs:
        raise InputError(_nothing(corpus, options, reader.counts))
    return Archive(pairs, opened.root, options.view or AS_THE_FILE_SAYS, reader.counts)


def _nothing(corpus: Path, options: CorpusOptions, counts: BuildCounts) -> str:
    if counts.problems:
        first = counts.problems[0]
        return f"{corpus} holds no usable record; the first problem is in line {first.line}: {first.reason}"
    if counts.other_split:
        return f"{corpus} holds no record of split {options.split!r}, and no other is tuned on"
    return f"{corpus} is empty; it needs records with image and report"


def hold_out(pairs: Sequence[Pair], share: float) -> tuple[list[Pair], list[Pair]]:
    """Split pairs by patient into those to train on and those to hold out.

    A patient's place depends on a hash of who it is: where another archive has the same patients, or a seed is
    another, the same are held out as far as their number allows.

    Parameters
    ----------
    pairs
        Both parts keep their order.
    share
        Of the patients, to hold out; their number is rounded, but at least one and never all. Where they have more than
        `MOST_HELD_OUT` records, they are fewer.

    Raises
    ------
    InputError
        If all pairs are of one patient.
    """
    units = sorted({pair.unit for pair in pairs}, key=lambda unit: hash_bytes(b"held out", unit.encode()))
    if len(units) < 2:
        raise InputError(
            f"all {len(pairs)} records are of one patient, and nobody is left to tell by when to stop; tune on an "
            "archive of more patients"
        )
    records = Counter(pair.unit for pair in pairs)
    held, room = set[str](), MOST_HELD_OUT
    for unit in units[: min(max(round(share * len(units)), 1), len(units) - 1)]:
        if held and records[unit] > room:
            break
        held.add(unit)
        room -= records[unit]
    kept, out = [pair for pair in pairs if pair.unit not in held], [pair for pair in pairs if pair.unit in held]
    if len(kept) < 2:
        raise InputError("one record is left to train on, and it takes two to tell apart; tune on a larger archive")
    return kept, out
