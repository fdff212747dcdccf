"""Writing points so that a kill at any moment loses nothing and leaves nothing twice.

Ledger and collections are two stores without a common transaction, so the order of steps matters: the ledger notes
points as unconfirmed, the collection writes and flushes them, the ledger confirms them. What a kill leaves unconfirmed
is written again, or removed, by the next build.
"""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from indexing.folder.ledger import Ledger
from indexing.folder.manifest import MANIFEST
from indexing.sound_records import SoundRecords
from indexing.stores.backend import Backend
from indexing.stores.base import VectorStore
from indexing.stores.points import Point, payload_digest, payload_of
from titrate import InputError, hash_patient, patient_or_study

GENERAL = "general"
"""Where records without a domain go."""

MAX_DOMAINS = 64
FIT_PER_DOMAIN = 2_000
"""Vectors of each domain that classifier and novelty detector are fitted to: enough for both, and memory is bounded."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Vectors of an index, float32 [n, d], with the domain and the patient, or else study, or else record, of each."""

    vectors: NDArray[np.float32]
    domains: list[str]
    units: list[str]

    def where(self, chosen: NDArray[np.bool_]) -> "Sample":
        """Those for which ``chosen``, bool [n], is true."""
        rows = np.flatnonzero(chosen)
        return Sample(self.vectors[rows], [self.domains[row] for row in rows], [self.units[row] for row in rows])


@dataclass(frozen=True, eq=False)
class Entry:
    """A point with the content hash and the `perceptual_hash` that the ledger will hold for it."""

    point: Point
    content: str
    picture: bytes

    @property
    def domain(self) -> str:
        """The collection it goes to."""
        return self.point.record.domain or GENERAL

    @property
    def patient(self) -> str:
        """SHA-256 of the patient, or else the study; empty where neither is known."""
        whose = patient_or_study(self.point.record.patient, self.point.record.study)
        return hash_patient(whose) if whose else ""


class IndexWriter:
    """The collections and ledger of an index under construction; a context manager.

    Parameters
    ----------
    index
        The index folder.
    backend
        Where the collections are; the caller closes it, after this.
    ledger
        The folder's.
    dimension
        Length of a vector.
    """

    def __init__(self, index: Path, backend: Backend, ledger: Ledger, dimension: int) -> None:
        self._index = index
        self._backend = backend
        self._ledger = ledger
        self._dimension = dimension
        self._stores: dict[str, VectorStore] = {}
        self._pool = ThreadPoolExecutor(1, "write")
        self._pending: tuple[Future[dict[str, bytes]], Sequence[Entry]] | None = None
        self.changed = False
        ledger.on_change(self.mark_changed)

    def __enter__(self) -> "IndexWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()  # what is being written stays unconfirmed, and is written again by the next build
        self._close()

    def write(self, entries: Sequence[Entry]) -> None:
        """Begin to insert or replace points, which goes on while the caller embeds the next.

        One batch is under way at a time: this waits for the last one, and `finish` for this one.

        Raises
        ------
        InputError
            If the corpus names more than 64 domains.
        TitrateError
            If these or the last could not be written.
        """
        self.finish()
        for domain in sorted({entry.domain for entry in entries}):
            self._store(domain)
        stale = self._ledger.begin([(entry.point.record.id, entry.domain) for entry in entries])
        for domain, ids in stale.items():
            self._remove(domain, ids)
        self._pending = self._pool.submit(self._upsert, entries), entries

    def finish(self) -> None:
        """Wait until everything written so far is durable, and confirm it in the ledger.

        Raises
        ------
        TitrateError
            If it could not be written.
        """
        if self._pending is not None:
            (work, entries), self._pending = self._pending, None
            digests = work.result()
            self._ledger.confirm(
                [
                    (id, entry.content, entry.domain, entry.patient, entry.picture, digests[id])
                    for entry in entries
                    for id in [entry.point.record.id]
                ]
            )

    def withdraw(self, record_id: str) -> bool:
        """Note that a record must leave the index; `remove_unconfirmed` removes it. True if the index held it."""
        return self._ledger.withdraw(record_id)

    def remove_unconfirmed(self) -> None:
        """Remove every point that is not confirmed: withdrawn ones, and what a kill left of vanished records."""
        self.finish()
        unconfirmed = self._ledger.unconfirmed()
        if not unconfirmed:
            return
        self.mark_changed()
        for domain, ids in unconfirmed.items():
            self._remove(domain, ids)
        self._ledger.clear_unconfirmed()

    def optimize(self) -> None:
        """Write collections anew that still hold what was removed, and let each build its search graph."""
        for domain in self._ledger.loose():
            if self._backend.exists(domain):
                if domain in self._stores:
                    self._stores.pop(domain).close()
                self._backend.compact(domain, self._dimension)
        self._ledger.clear_loose()
        for domain in self._ledger.counts():
            self._store(domain).optimize()

    def seal(self) -> dict[str, str]:
        """Close the collections, and the `Backend.checksums` of how they stay."""
        self._close()
        return self._backend.seal(self._ledger.counts(), self._dimension)

    def verify(self) -> None:
        """Compare every confirmed record with the ledger; see `SoundRecords.check_all`."""
        counts = self._ledger.counts()
        SoundRecords(self._ledger, {domain: self._store(domain) for domain in counts}).check_all(unfinished=True)

    def sample(self) -> Sample:
        """Image vectors of every collection, at most so many of each."""
        parts = [(domain, *self._store(domain).vectors("image", FIT_PER_DOMAIN)) for domain in self._ledger.counts()]
        return Sample(
            np.concatenate([vectors for _, vectors, _ in parts]),
            [domain for domain, _, units in parts for _ in units],
            [unit for _, _, units in parts for unit in units],
        )

    def _upsert(self, entries: Sequence[Entry]) -> dict[str, bytes]:
        """Runs in the writing thread; the collections are there already. Returns each point's digest by record id."""
        digests: dict[str, bytes] = {}
        for domain in sorted({entry.domain for entry in entries}):
            store = self._stores[domain]
            points = [entry.point for entry in entries if entry.domain == domain]
            store.upsert(points)
            store.flush()
            digests |= store.digests({p.record.id: payload_digest(payload_of(p.record)) for p in points})
        return digests

    def _close(self) -> None:
        while self._stores:
            self._stores.popitem()[1].close()

    def mark_changed(self) -> None:
        """From the first change on, the folder is no complete index until the build writes a new manifest."""
        if not self.changed:
            (self._index / MANIFEST).unlink(missing_ok=True)
            self.changed = True

    def _remove(self, domain: str, ids: Sequence[str]) -> None:
        if domain in self._stores or self._backend.exists(domain):
            store = self._store(domain)
            store.delete(ids)
            store.flush()

    def _store(self, domain: str) -> VectorStore:
        if domain not in self._stores:
            if self._backend.exists(domain):
                self._stores[domain] = self._backend.open(domain, self._dimension)
            else:
                if len(self._backend.collections()) >= MAX_DOMAINS:
                    raise InputError(
                        f'the corpus names more than {MAX_DOMAINS} domains; is "domain" the right field for them?'
                    )
                self._stores[domain] = self._backend.create(domain, self._dimension)
        return self._stores[domain]
