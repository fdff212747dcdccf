"""Building an index, or bringing one up to date.

Records that have left the corpus stay in the index unless they are pruned: an index may be filled from several corpora,
one after the other. A record that the corpus names with another split than the wanted one is always removed, so that
patients who were moved to a held-out split cannot be retrieved. A build with another split than the last one therefore
removes the records of that one.
"""

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from indexing.building.embedding import CorpusEmbedder
from indexing.building.finish import finish_index
from indexing.building.reader import BuildCounts, CorpusOptions, CorpusReader, Progress
from indexing.building.report import BuildReport, CorpusReport
from indexing.building.writer import IndexWriter
from indexing.corpora.base import Corpus
from indexing.corpora.dicom_folder import DicomFolder
from indexing.corpora.open import open_corpus
from indexing.encoder import Encoder
from indexing.folder.beside import can_build_beside, finish_swap, rebuilding, tell_of_readers, updating
from indexing.folder.contents import is_on_a_server, is_vouched_for
from indexing.folder.fixed_settings import FixedSettings, OtherSettingsError, Prompts, fix_settings, load_fixed_settings
from indexing.folder.ledger import Ledger
from indexing.folder.lock import lock_index
from indexing.folder.manifest import LEDGER, SKIPPED
from indexing.folder.pseudonym_key import known_pseudonym_key, pseudonym_key
from indexing.folder.skipped import SkippedLog
from indexing.folder.swap import (
    claim_folder,
    clear_folder,
    drop_collections,
    drop_unused_collections,
    remove_if_empty,
)
from indexing.images.view import ImageView
from indexing.routing.classifier import DomainClassifier
from indexing.stores.backend import Backend
from indexing.stores.open import open_backend, tell_of_server
from indexing.stores.settings import StoreSettings
from titrate import InputError


def check_corpus(
    corpus: Path, options: CorpusOptions | None = None, *, progress: Progress | None = None
) -> CorpusReport:
    """Read and decode a whole corpus as `build_index` would, without embedding or writing anything.

    Raises
    ------
    InputError
        If the corpus is missing or cannot be read at all, or, when strict, at the first record that cannot be used.
    """
    options = options or CorpusOptions()
    opened = open_corpus(corpus, fields=options.fields, root=options.root)
    usable = 0
    with Ledger(None) as ledger:
        reader = CorpusReader(
            opened, options, ledger, lambda image: image.size, lambda _: None, lambda _: False, progress
        )
        for prepared in reader.records():
            usable += not prepared.held_out
            reader.advance()
    counts = reader.counts
    return CorpusReport(
        usable, counts.other_split, counts.skipped, counts.problems, counts.long_reports, counts.no_pictures
    )


def build_index(
    corpus: Path,
    index: Path,
    encoder: Encoder,
    options: CorpusOptions | None = None,
    *,
    zero_shot: Prompts | None = None,
    store: StoreSettings | None = None,
    api_key: str | None = None,
    prune: bool = False,
    rebuild: bool = False,
    progress: Progress | None = None,
) -> BuildReport:
    """Embed a corpus into an index folder, one collection per domain; embed only what changed since the last build.

    May be killed at any moment and run again: nothing is lost and nothing is there twice. Images of the ``prefer``
    split, a sample of them in a large corpus, are embedded as well but not indexed: the threshold of "none of these"
    comes from them, or, where there are too few, from a fifth of the indexed patients; see
    `indexing.routing.conformal`.

    Parameters
    ----------
    corpus
        See `open_corpus`.
    index
        Folder of the index, made if it is not there.
    encoder
        The encoder that the first build of this index had.
    options
        Which records are used, and how they are read. Only its ``view`` is fixed by the first build; root, fields,
        split and limit are those of this build alone.
    zero_shot
        Domains, with prompts for each, for records that name none; see `default_prompts`. None keeps those of the
        index, and a new index has none: such records then go into one domain, ``general``. An empty mapping means that
        there are to be none.
    store
        Where the vectors are kept, and how; None keeps what the index has, and a new index keeps them in its folder.
    api_key
        Of the Qdrant server, if the vectors are on one.
    prune
        Remove records that have left the corpus.
    rebuild
        Build anew, in a folder beside the index that takes its place at the end: needed for another encoder, view,
        store or other zero-shot prompts. Those of them that are not named stay as the index has them.
    progress
        Told how far the build is.

    Raises
    ------
    InputError
        If the corpus is missing or holds nothing usable, the index was built with another encoder, view, store or other
        zero-shot prompts than are named, it is in use, or ``index`` is a folder of something else. A new index that
        came to nothing is not left behind.
    TitrateError
        If a disk is full or a server cannot be reached; run it again and it goes on from there.
    """
    options = options or CorpusOptions()
    if prune and options.limit is not None:
        raise InputError("pruning needs the whole corpus; leave out the limit")
    opened = open_corpus(corpus, fields=options.fields, root=options.root)  # before anything is made, if it is missing
    build = _Build(opened, encoder, options, zero_shot, store, api_key, prune, progress)
    finish_swap(index)
    if rebuild and (index / LEDGER).exists():
        report = _rebuild(index, build)
    elif can_build_beside(index) and not is_on_a_server(index):
        with updating(index, repr((str(opened.path), options, prune))) as aside:
            report = build.run(aside)
    else:
        report = build.run(index)
    if report.removed or rebuild:
        tell_of_readers(index)
    return report


def _rebuild(index: Path, build: "_Build") -> BuildReport:
    old = load_fixed_settings(index)
    build = replace(build, prune=True)  # of an interrupted rebuild from another corpus
    with rebuilding(index, alone=old is not None and old.store.url is not None) as aside:
        if old is not None:
            build = build.keeping(old)
        try:
            report = build.run(aside)
        except OtherSettingsError:  # left by an interrupted rebuild that was to become something else
            clear_folder(aside, build.api_key, build.url)
            report = build.run(aside)
    if old is not None:
        drop_collections(index, old.store, build.api_key, build.url)
    return report


@dataclass(frozen=True, eq=False)
class _Build:
    """The arguments of `build_index`, for a folder."""

    corpus: Corpus
    encoder: Encoder
    options: CorpusOptions
    zero_shot: Prompts | None
    store: StoreSettings | None
    api_key: str | None
    prune: bool
    progress: Progress | None

    @property
    def url(self) -> str | None:
        """The server that is named for the vectors."""
        return None if self.store is None else self.store.url

    def keeping(self, old: FixedSettings) -> "_Build":
        """The same build, in which every setting is named: what was not is that of an older index."""
        (self.store or old.store).admit(self.url)
        return replace(
            self,
            options=replace(self.options, view=self.options.view or old.view),
            store=self.store or old.store,
            zero_shot=old.zero_shot if self.zero_shot is None else self.zero_shot,
        )

    def run(self, index: Path) -> BuildReport:
        fresh = claim_folder(index)
        try:
            with ExitStack() as stack:
                stack.enter_context(lock_index(index, exclusive=True))
                ledger = stack.enter_context(Ledger(index / LEDGER))
                fixed = fix_settings(ledger, self.encoder, self.options.view, self.store, self.zero_shot)
                fixed.store.admit(self.url)
                tell_of_server(fixed.store)
                backend = stack.enter_context(open_backend(fixed.store, index, self.api_key))
                try:
                    return self._fill(index, ledger, fixed, backend)
                except BaseException:
                    fresh = fresh and drop_unused_collections(ledger, backend)
                    raise
        except BaseException:
            if fresh:
                remove_if_empty(index)
            raise

    def _fill(self, index: Path, ledger: Ledger, fixed: FixedSettings, backend: Backend) -> BuildReport:
        vouched = is_vouched_for(index, ledger, backend)
        with (
            IndexWriter(index, backend, ledger, self.encoder.dimension) as writer,
            SkippedLog(index / SKIPPED) as skipped,
        ):
            if not vouched:
                writer.verify()
            reader = self._reader(index, fixed.view, ledger, writer, skipped)
            classifier = DomainClassifier.zero_shot(fixed.zero_shot, self.encoder) if fixed.zero_shot else None
            embedder = CorpusEmbedder(self.encoder, ledger, writer, classifier)
            embedder.run(reader)
            if self.prune:
                reader.counts.removed += sum(writer.withdraw(id) for id in ledger.vanished())
            writer.remove_unconfirmed()
            if not ledger.counts():
                raise InputError(self._nothing_usable(reader.counts))
            finish_index(index, self.encoder, ledger, writer, fixed)
            return BuildReport(**vars(reader.counts), counts=ledger.counts())

    def _reader(
        self, index: Path, view: ImageView, ledger: Ledger, writer: IndexWriter, skipped: SkippedLog
    ) -> CorpusReader[Any]:
        corpus = self.corpus
        if isinstance(corpus, DicomFolder):  # its pseudonyms need the index's secret
            if known_pseudonym_key(index) is None:
                writer.mark_changed()
            corpus = open_corpus(corpus.path, key=pseudonym_key(index))
        return CorpusReader(
            corpus,
            replace(self.options, view=view),
            ledger,
            self.encoder.preprocess,
            skipped.add,
            writer.withdraw,
            self.progress,
        )

    def _nothing_usable(self, counts: BuildCounts) -> str:
        path = self.corpus.path
        if counts.problems:
            first = counts.problems[0]
            return f"{path} holds no usable record; the first problem is in line {first.line}: {first.reason}"
        if counts.other_split:
            return f"{path} holds no record of split {self.options.split!r}; choose another split, or all"
        return f"{path} is empty; it needs records with image and report"
