"""A store of one domain's vectors: what every engine must do for it, and the parts that do not depend on the engine."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from indexing.records import Record
from indexing.stores.filters import Exclusion, FieldFilter
from indexing.stores.points import (
    VECTOR_NAMES,
    Point,
    VectorName,
    leading,
    payload_digest,
    payload_of,
    point_digest,
    point_id,
)
from titrate import InputError, independent_unit

MIN_CANDIDATES = 128
"""Number of nearest neighbours that the engine is asked for, however few are wanted. An approximate search looks
further the more it is asked for, so that the best 2 of a search for 2 need not be the best 2 of a search for 8; a
certificate, however, takes the contexts of every k from one list."""

OVERSAMPLING = 2.0
"""Of quantised vectors, the engine takes so many times the wanted number, and ranks these by their full vectors."""

IDENTITY_FIELDS = ("id", "study", "patient")
"""The fields of a record that say who it is about. Exclusions filter by them, so a server keeps an index of each."""

QUERIES_AT_ONCE = 256
PAGE = 1000
VECTORS_AT_ONCE = 128
"""Points that are read with both vectors at once: those of 4096 numbers are 13 MB as a server's JSON."""


@dataclass(frozen=True)
class Match:
    """A retrieved record and its cosine similarity to the query, −1 to 1."""

    record: Record
    similarity: float


class VectorStore(ABC):
    """One collection of points under the named vectors ``image`` and ``text``.

    Parameters
    ----------
    name
        Of the collection, for messages.
    dimension
        Length d of its vectors.
    """

    def __init__(self, name: str, dimension: int) -> None:
        self.name = name
        self.dimension = dimension

    def upsert(self, points: Sequence[Point]) -> None:
        """Insert points, replacing those with the same record id. Durable only after `flush`.

        Raises
        ------
        ValueError
            If a vector has another length: some engines would accept points that lack one.
        TitrateError
            If they cannot be written.
        """
        shape = (self.dimension,)
        if any(point.image.shape != shape or point.text.shape != shape for point in points):
            raise ValueError(f"collection {self.name} takes vectors of length {self.dimension}")
        if points:
            self._write(points)

    def delete(self, ids: Sequence[str]) -> None:
        """Remove the records with these ids, if present. Durable only after `flush`."""
        if ids:
            self._delete([point_id(identifier) for identifier in ids])

    def search(
        self,
        vectors: NDArray[np.float32],
        using: VectorName = "image",
        limit: int = 10,
        exclusions: Sequence[Exclusion] | None = None,
        filters: Sequence[FieldFilter] = (),
    ) -> list[list[Match]]:
        """The nearest records of each query, best first, equal ones by id.

        The result for a smaller limit is the beginning of that for a larger one, up to a limit of 128.

        Parameters
        ----------
        vectors
            Queries, float32 [n, d].
        using
            Which of the named vectors to compare with.
        limit
            At most so many matches a query.
        exclusions
            One a query, or None for none.
        filters
            That every match must pass.

        Raises
        ------
        ValueError
            If the queries have another length than the stored vectors, or the exclusions another number.
        TitrateError
            If the collection cannot be read.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.dimension:
            raise ValueError(f"queries must be [n, {self.dimension}], found {list(vectors.shape)}")
        if exclusions is not None and len(exclusions) != len(vectors):
            raise ValueError(f"{len(vectors)} queries but {len(exclusions)} exclusions")
        if limit < 1:
            return [[] for _ in vectors]
        asked = [[*filters, *own.filters()] for own in exclusions or [Exclusion()] * len(vectors)]
        found: list[list[Match]] = []
        for start in range(0, len(vectors), QUERIES_AT_ONCE):
            chunk = slice(start, start + QUERIES_AT_ONCE)
            ranked = self._nearest(vectors[chunk], using, max(limit, MIN_CANDIDATES), asked[chunk])
            found += self._matches([leading(row, limit) for row in ranked], limit)
        return found

    def records(self, ids: Sequence[str]) -> list[Record]:
        """The records with these ids that are there, in order of id.

        Raises
        ------
        TitrateError
            If the collection cannot be read.
        """
        found: list[Record] = []
        points = [point_id(identifier) for identifier in ids]
        for start in range(0, len(points), PAGE):
            found += map(self._record, self._payloads(points[start : start + PAGE]).values())
        return sorted(found, key=lambda record: record.id)

    def digests(self, payloads: Mapping[str, bytes]) -> dict[str, bytes]:
        """`point_digest` of some records, with the vectors as they are read back.

        Parameters
        ----------
        payloads
            Their `payload_digest` by record id.

        Raises
        ------
        InputError
            If one of them is not there.
        TitrateError
            If the collection cannot be read.
        """
        found: dict[str, bytes] = {}
        ids = [*payloads]
        for start in range(0, len(ids), VECTORS_AT_ONCE):
            places = {point_id(identifier): identifier for identifier in ids[start : start + VECTORS_AT_ONCE]}
            read = self._vectors([*places])
            found |= {identifier: self._digest(payloads[identifier], read.get(p)) for p, identifier in places.items()}
        return found

    def all_digests(self) -> Iterator[dict[str, bytes]]:
        """The same of every record that is there, in pages.

        Raises
        ------
        TitrateError
            If the collection cannot be read.
        """
        offset: Any = None
        while True:
            page, offset = self._scroll(VECTOR_NAMES, True, VECTORS_AT_ONCE, offset)
            rows = [(self._record(payload), vectors) for vectors, payload in page]
            yield {record.id: self._digest(payload_digest(payload_of(record)), vectors) for record, vectors in rows}
            if offset is None:
                return

    def vectors(self, using: VectorName, limit: int) -> tuple[NDArray[np.float32], list[str]]:
        """Some of the stored vectors, a selection that depends on nothing but the ids.

        Parameters
        ----------
        using
            Which of the named vectors.
        limit
            At most so many.

        Returns
        -------
        tuple
            The vectors, float32 [n, d], and for each the patient, or else the study, or else the record's id.
        """
        rows: list[Any] = []
        units: list[str] = []
        offset: Any = None
        while len(rows) < limit:
            page, offset = self._scroll([using], IDENTITY_FIELDS, min(PAGE, limit - len(rows)), offset)
            try:
                rows += [vectors[using] for vectors, _ in page]
                units += [independent_unit(row.get("patient"), row.get("study"), row["id"]) for _, row in page]
            except (LookupError, TypeError, AttributeError) as error:
                raise self._damaged() from error
            if offset is None:
                break
        return np.asarray(rows, np.float32).reshape(-1, self.dimension), units

    @abstractmethod
    def flush(self) -> None:
        """Return once everything done so far survives the end of the process, however it ends."""

    @abstractmethod
    def optimize(self) -> None:
        """Build the search graph, and the quantised vectors if any, where the collection is large enough to gain."""

    @abstractmethod
    def count(self) -> int:
        """Number of points, exactly."""

    @abstractmethod
    def close(self) -> None:
        """Release files and memory; the store cannot be used afterwards."""

    @abstractmethod
    def _write(self, points: Sequence[Point]) -> None: ...

    @abstractmethod
    def _delete(self, ids: list[str]) -> None:
        """Remove points by `point_id`."""

    @abstractmethod
    def _nearest(
        self, vectors: NDArray[np.float32], using: VectorName, limit: int, filters: Sequence[list[FieldFilter]]
    ) -> list[list[tuple[str, float]]]:
        """Point id and cosine of the nearest points that pass each query's filters, best first."""

    @abstractmethod
    def _payloads(self, ids: list[str]) -> dict[str, Any]:
        """Payloads by point id."""

    @abstractmethod
    def _vectors(self, ids: list[str]) -> dict[str, Any]:
        """Both vectors by name, by point id."""

    @abstractmethod
    def _scroll(
        self, using: Sequence[VectorName], fields: Sequence[str] | Literal[True], limit: int, offset: Any
    ) -> tuple[list[tuple[Any, Any]], Any]:
        """A page of at most ``limit`` points, in order of their ids.

        Parameters
        ----------
        using
            Which of the named vectors are wanted.
        fields
            Which fields of the payload are; True for all.
        offset
            Where the page begins: None for the first page, else what the call for the page before returned.

        Returns
        -------
        tuple
            Each point's vectors by name and its payload; and the offset of the next page, None if there is none.
        """

    def _matches(self, ranked: list[list[tuple[str, float]]], limit: int) -> list[list[Match]]:
        wanted = sorted({identifier for row in ranked for identifier, _ in row})
        records: dict[str, Record] = {}
        for start in range(0, len(wanted), PAGE):
            for identifier, payload in self._payloads(wanted[start : start + PAGE]).items():
                records[identifier] = self._record(payload)
        if len(records) < len(wanted):
            raise self._damaged()
        found = []
        for row in ranked:
            matches = [Match(records[identifier], score) for identifier, score in row]
            found.append(sorted(matches, key=lambda match: (-match.similarity, match.record.id))[:limit])
        return found

    def _record(self, payload: Any) -> Record:
        try:
            return Record(**payload)
        except (TypeError, ValueError, AttributeError) as error:
            raise self._damaged() from error

    def _digest(self, payload: bytes, vectors: Any) -> bytes:
        try:
            return point_digest(payload, vectors)
        except (LookupError, TypeError, ValueError) as error:
            raise self._damaged() from error

    def _damaged(self) -> InputError:
        return InputError(f"collection {self.name} is damaged or holds foreign points; build the index anew")
