"""One domain's vectors in a folder, on Qdrant Edge: in this process, without a server.

Edge's write-ahead log stays off. With it, opening a collection takes an exclusive lock even to read, so two questions
could not be answered at once; without it, what was flushed survives a kill at any moment, and the build's ledger counts
only what was flushed. Edge needs write access to the folder even to read.
"""

import os
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import qdrant_edge as edge
from numpy.typing import NDArray

from indexing.records import Record
from indexing.store import VECTOR_NAMES, Exclusion, Match, Point, VectorName, VectorStore
from titrate.errors import TitrateError

QUERIES_AT_ONCE = 256
PAGE = 1000
# Points are numbered by a hash of the record id: Edge takes only integers and UUIDs.
_NAMESPACE = uuid.UUID("0f3a3a52-5d3c-5c0e-9a55-7c1c1f6d2f0e")


class EdgeStore(VectorStore):
    """A collection in a folder. Make one with `EdgeStore.create` or `EdgeStore.open`."""

    def __init__(self, shard: edge.EdgeShard, dimension: int, path: Path) -> None:
        self._shard = shard
        self._dimension = dimension
        self._path = path

    @classmethod
    def create(cls, path: Path, dimension: int) -> "EdgeStore":
        """A new, empty collection for embeddings of length ``dimension``; ``path`` must not exist yet.

        Raises
        ------
        TitrateError
            If the folder cannot be written.
        """
        vectors: dict[str, edge.EdgeVectorParams] = {
            name: edge.EdgeVectorParams(size=dimension, distance=edge.Distance.Cosine) for name in VECTOR_NAMES
        }
        # Built aside and renamed: a kill half way leaves no folder that looks like a collection and is not.
        aside = path.with_name(f".{path.name}.new")
        try:
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir(parents=True)
            edge.EdgeShard.create(str(aside), edge.EdgeConfig(vectors=vectors, wal_enabled=False)).close()
            os.rename(aside, path)
        except Exception as error:  # Edge raises bare Exception
            raise TitrateError(f"cannot create collection {path}: {error}; check free space and rights") from error
        return cls.open(path, dimension)

    @classmethod
    def open(cls, path: Path, dimension: int) -> "EdgeStore":
        """An existing collection.

        Raises
        ------
        TitrateError
            If it is missing, damaged, or not writable (Edge needs that even to read).
        """
        try:
            return cls(edge.EdgeShard.load(str(path)), dimension, path)
        except Exception as error:  # Edge raises bare Exception
            raise TitrateError(
                f"cannot open collection {path}: {_one_line(error)}; check its rights or build the index anew"
            ) from error

    def upsert(self, points: Sequence[Point]) -> None:
        """Insert or replace points; see `VectorStore.upsert`.

        Raises
        ------
        ValueError
            If a vector has another length: Edge itself would accept points that lack one.
        """
        shape = (self._dimension,)
        if any(point.image.shape != shape or point.text.shape != shape for point in points):
            raise ValueError(f"collection {self._path.name} takes vectors of length {self._dimension}")
        self._update(
            edge.UpdateOperation.upsert_points(
                [
                    edge.Point(
                        _point_id(point.record.id),
                        {"image": point.image.tolist(), "text": point.text.tolist()},
                        _payload(point.record),
                    )
                    for point in points
                ]
            )
        )

    def delete(self, ids: Sequence[str]) -> None:
        """Remove records; see `VectorStore.delete`."""
        self._update(edge.UpdateOperation.delete_points([_point_id(identifier) for identifier in ids]))

    def flush(self) -> None:
        """Make everything durable; see `VectorStore.flush`."""
        try:
            self._shard.flush()
        except Exception as error:
            raise TitrateError(f"cannot write collection {self._path}: {_one_line(error)}; check free space") from error

    def optimize(self) -> None:
        """Merge segments and build the HNSW graph where the collection is large enough to gain from one."""
        try:
            self._shard.optimize()
        except Exception as error:
            raise TitrateError(f"cannot optimise collection {self._path}: {_one_line(error)}") from error
        self.flush()

    def search(
        self,
        vectors: NDArray[np.float32],
        using: VectorName = "image",
        limit: int = 10,
        exclusions: Sequence[Exclusion] | None = None,
    ) -> list[list[Match]]:
        """The nearest records of each query; see `VectorStore.search`.

        Raises
        ------
        ValueError
            If the queries have another length than the stored vectors, or the exclusions another number.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self._dimension:
            raise ValueError(f"queries must be [n, {self._dimension}], found {list(vectors.shape)}")
        if exclusions is not None and len(exclusions) != len(vectors):
            raise ValueError(f"{len(vectors)} queries but {len(exclusions)} exclusions")
        if limit < 1:
            return [[] for _ in vectors]
        requests = [
            edge.QueryRequest(
                limit=limit,
                query=edge.Query.Nearest(vector.tolist(), using=using),
                filter=_filter(exclusions[row]) if exclusions is not None else None,
                with_payload=True,
            )
            for row, vector in enumerate(vectors)
        ]
        found: list[list[Match]] = []
        for start in range(0, len(requests), QUERIES_AT_ONCE):
            batch = edge.QueryBatchRequest(requests[start : start + QUERIES_AT_ONCE])
            found += [_matches(points) for points in self._shard.query_batch(batch)]
        return found

    def vectors(self, using: VectorName, limit: int) -> NDArray[np.float32]:
        """Some stored vectors, in the order of their hashed ids; see `VectorStore.vectors`."""
        rows: list[NDArray[np.float32]] = []
        offset: Any = None
        while len(rows) < limit:
            size = min(PAGE, limit - len(rows))
            page: Any = self._shard.scroll(
                edge.ScrollRequest(offset=offset, limit=size, with_payload=False, with_vector=[using])
            )
            records, offset = page
            rows += [np.asarray(record.vector[using], np.float32) for record in records]
            if offset is None:
                break
        return np.stack(rows) if rows else np.empty((0, self._dimension), np.float32)

    def count(self) -> int:
        """Number of points, exactly."""
        return self._shard.count(edge.CountRequest(exact=True))

    def close(self) -> None:
        """Release the collection."""
        self._shard.close()

    def _update(self, operation: edge.UpdateOperation) -> None:
        try:
            self._shard.update(operation)
        except Exception as error:
            raise TitrateError(f"cannot write collection {self._path}: {_one_line(error)}; check free space") from error


def _point_id(record_id: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, record_id))


def _payload(record: Record) -> dict[str, str | None]:
    return {
        "id": record.id,
        "image": record.image,
        "report": record.report,
        "domain": record.domain,
        "patient": record.patient,
        "study": record.study,
        "split": record.split,
    }


def _matches(points: Sequence[Any]) -> list[Match]:
    matches = [Match(Record(**point.payload), min(1.0, max(-1.0, point.score))) for point in points]
    return sorted(matches, key=lambda match: (-match.similarity, match.record.id))


def _filter(exclusion: Exclusion) -> edge.Filter | None:
    fields = {"id": exclusion.record_id, "study": exclusion.study, "patient": exclusion.patient}
    unwanted: list[Any] = [
        edge.FieldCondition(key=name, match=edge.MatchValue(value)) for name, value in fields.items() if value
    ]
    return edge.Filter(must_not=unwanted) if unwanted else None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
