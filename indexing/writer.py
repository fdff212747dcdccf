"""Writing points so that a kill at any moment loses nothing and leaves nothing twice.

Ledger and collections are two stores without a common transaction. The order keeps them honest: doubt, write, flush,
confirm. Whatever a kill leaves in doubt is written again, or removed, by the next build.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from indexing.domains import DomainClassifier
from indexing.edge import EdgeStore
from indexing.ledger import Ledger
from indexing.manifest import COLLECTIONS, MANIFEST, collection_folder
from indexing.store import Point
from titrate.errors import InputError

GENERAL = "general"
"""Where records without a domain go."""

MAX_DOMAINS = 64
FIT_PER_DOMAIN = 20_000
"""Vectors of each domain that the classifier is fitted to: enough for a linear probe, and memory stays bounded."""


@dataclass(frozen=True, eq=False)
class Entry:
    """A point with the content hash that the ledger will hold for it."""

    point: Point
    content: str

    @property
    def domain(self) -> str:
        """The collection it goes to."""
        return self.point.record.domain or GENERAL


class IndexWriter:
    """The collections and ledger of an index under construction; a context manager."""

    def __init__(self, index: Path, ledger: Ledger, dimension: int) -> None:
        self._index = index
        self._ledger = ledger
        self._dimension = dimension
        self._stores: dict[str, EdgeStore] = {}
        self.changed = False

    def __enter__(self) -> "IndexWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for store in self._stores.values():
            store.close()

    def write(self, entries: Sequence[Entry]) -> None:
        """Insert or replace points durably.

        Raises
        ------
        InputError
            If the corpus names more than 64 domains.
        """
        self._mark_changed()
        for domain in sorted({entry.domain for entry in entries}):
            self._store(domain)
        stale = self._ledger.begin([(entry.point.record.id, entry.domain) for entry in entries])
        for domain, ids in stale.items():
            self._remove(domain, ids)
        for domain in sorted({entry.domain for entry in entries}):
            store = self._store(domain)
            store.upsert([entry.point for entry in entries if entry.domain == domain])
            store.flush()
        self._ledger.confirm([(entry.point.record.id, entry.content, entry.domain) for entry in entries])

    def withdraw(self, record_id: str) -> bool:
        """Note that a record must leave the index; `settle` removes it. True if the index held it."""
        if not self._ledger.withdraw(record_id):
            return False
        self._mark_changed()
        return True

    def settle(self) -> None:
        """Remove every point that is not confirmed: withdrawn ones, and what a kill left of vanished records."""
        doubts = self._ledger.doubts()
        if not doubts:
            return
        self._mark_changed()
        for domain, ids in doubts.items():
            self._remove(domain, ids)
        self._ledger.clear_doubts()

    def optimize(self) -> None:
        """Let each collection build its search graph."""
        for domain in self._ledger.counts():
            self._store(domain).optimize()

    def fit_classifier(self) -> DomainClassifier:
        """Fit the domain classifier to what the collections hold."""
        samples = {domain: self._store(domain).vectors("image", FIT_PER_DOMAIN) for domain in self._ledger.counts()}
        labels = [domain for domain, rows in samples.items() for _ in rows]
        return DomainClassifier.fit(np.concatenate(list(samples.values())), labels)

    def _mark_changed(self) -> None:
        """From the first change on, the folder is no complete index until the build writes a new manifest."""
        if not self.changed:
            (self._index / MANIFEST).unlink(missing_ok=True)
            self.changed = True

    def _remove(self, domain: str, ids: Sequence[str]) -> None:
        if collection_folder(self._index, domain).exists():
            store = self._store(domain)
            store.delete(ids)
            store.flush()

    def _store(self, domain: str) -> EdgeStore:
        if domain not in self._stores:
            folder = collection_folder(self._index, domain)
            if folder.exists():
                self._stores[domain] = EdgeStore.open(folder, self._dimension)
            else:
                existing = [f for f in (self._index / COLLECTIONS).glob("*") if not f.name.startswith(".")]
                if len(existing) >= MAX_DOMAINS:
                    raise InputError(
                        f'the corpus names more than {MAX_DOMAINS} domains; is "domain" the right field for them?'
                    )
                self._stores[domain] = EdgeStore.create(folder, self._dimension)
        return self._stores[domain]
