"""One domain's vectors in a folder, on Qdrant Edge: in this process, without a server.

Edge's write-ahead log stays off. With it, opening a collection takes an exclusive lock even to read, so two questions
could not be answered at once; without it, what was flushed survives a kill at any moment, and the build's ledger counts
only what was flushed. Edge needs write access to the folder even to read: it writes some files anew, by name, whenever
it opens a collection and when it closes it. An index that a build has put away meanwhile has lost its name to another.
"""

import os
import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import qdrant_edge as edge
from numpy.typing import NDArray

from indexing.stores.base import (
    IDENTITY_FIELDS,
    MIN_CANDIDATES,
    OVERSAMPLING,
    PAGE,
    VectorStore,
)
from indexing.stores.disk import (
    MIN_FREE_BYTES,
    check_free_space,
    copy_folder,
    lasting_name,
    may_write,
    size_on_disk,
)
from indexing.stores.filters import FieldFilter
from indexing.stores.points import VECTOR_NAMES, Point, VectorName, payload_of, point_id, vectors_of
from indexing.stores.settings import QUANTILE, Quantization
from titrate import TitrateError, one_line_errors

_SEARCH = edge.SearchParams(
    hnsw_ef=MIN_CANDIDATES, quantization=edge.QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING)
)


class EdgeStore(VectorStore):
    """A collection in a folder. Make one with `EdgeStore.create` or `EdgeStore.open`."""

    def __init__(self, shard: edge.EdgeShard, dimension: int, path: Path, place: ExitStack) -> None:
        super().__init__(path.name, dimension)
        self._shard = shard
        self._path = path
        self._place = place

    @classmethod
    def create(cls, path: Path, dimension: int, quantization: Quantization = "none") -> "EdgeStore":
        """A new, empty collection for embeddings of length ``dimension``; ``path`` must not exist yet.

        Raises
        ------
        TitrateError
            If the folder cannot be written.
        """
        vectors: dict[str, edge.EdgeVectorParams] = {
            name: edge.EdgeVectorParams(size=dimension, distance=edge.Distance.Cosine) for name in VECTOR_NAMES
        }
        int8 = edge.ScalarQuantizationConfig(edge.ScalarType.Int8, quantile=QUANTILE, always_ram=True)
        config = edge.EdgeConfig(
            vectors=vectors, quantization_config=int8 if quantization == "int8" else None, wal_enabled=False
        )
        # Built aside and renamed: a kill half way leaves no folder that looks like a collection and is not.
        aside = path.with_name(f".{path.name}.new")
        with one_line_errors(f"cannot create collection {path}", "check free space and rights"):
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir(parents=True)
            check_free_space(aside, MIN_FREE_BYTES)
            edge.EdgeShard.create(str(aside), config).close()
            os.rename(aside, path)
        return cls.open(path, dimension)

    @classmethod
    def read(cls, path: Path, dimension: int) -> "EdgeStore":
        """An existing collection, to be read; where this process may not write to it, a copy is opened in its place.

        The copy takes as much room in the folder for temporary files, where nobody else can see it.

        Raises
        ------
        TitrateError
            As for `open`, or if there is no room for a copy.
        """
        if not path.is_dir() or may_write(path):
            return cls.open(path, dimension)
        with one_line_errors(f"cannot copy collection {path}, which is read-only", "check its rights"):
            folder = TemporaryDirectory(prefix="titrate-")
        with folder as place:  # the engine has mapped all files once it is open, and needs their names no longer
            check_free_space(Path(place), size_on_disk(path))
            with one_line_errors(f"cannot copy collection {path}, which is read-only", "check its rights"):
                copy_folder(path, Path(place) / path.name)
                for copied in Path(place).rglob("*"):
                    copied.chmod(0o700)
            return cls.open(Path(place) / path.name, dimension)

    def copy_to(self, other: "EdgeStore") -> None:
        """Write every point, bit for bit, to an empty collection of the same kind."""
        offset: Any = None
        while True:
            with self._reading():
                request = edge.ScrollRequest(offset=offset, limit=PAGE, with_payload=True, with_vector=True)
                page: Any = self._shard.scroll(request)
            records, offset = page
            rows = [edge.Point(each.id, each.vector, each.payload) for each in records]
            other._upsert(rows)
            if offset is None:
                return

    @classmethod
    def open(cls, path: Path, dimension: int) -> "EdgeStore":
        """An existing collection, quantised or not.

        Raises
        ------
        TitrateError
            If it is missing, damaged, not writable (Edge needs that even to read), or of another dimension.
        """
        with (
            one_line_errors(f"cannot open collection {path}", "check its rights or build the index anew"),
            ExitStack() as stack,
        ):
            shard = edge.EdgeShard.load(str(stack.enter_context(lasting_name(path))))
            place = stack.pop_all()
        store = cls(shard, dimension, path, place)
        sample, _ = store._scroll(["image"], IDENTITY_FIELDS, 1, None)
        if sample and (found := len(sample[0][0].get("image", ()))) != dimension:
            store.close()
            raise TitrateError(
                f"collection {path} holds vectors of length {found}, not {dimension}; build the index anew"
            )
        return store

    def flush(self) -> None:
        """Make everything durable; see `VectorStore.flush`."""
        with self._writing():
            self._shard.flush()

    def optimize(self) -> None:
        """Merge segments, build the HNSW graph and quantise; see `VectorStore.optimize`."""
        check_free_space(self._path, MIN_FREE_BYTES + 2 * size_on_disk(self._path))
        with self._writing():
            self._shard.optimize()
        self.flush()

    def count(self) -> int:
        """Number of points, exactly."""
        with self._reading():
            return self._shard.count(edge.CountRequest(exact=True))

    def close(self) -> None:
        """Release the collection."""
        with self._place:
            self._shard.close()

    def _write(self, points: Sequence[Point]) -> None:
        self._upsert(
            [edge.Point(point_id(point.record.id), vectors_of(point), payload_of(point.record)) for point in points]
        )

    def _upsert(self, rows: list[edge.Point]) -> None:
        check_free_space(self._path, MIN_FREE_BYTES + 16 * self.dimension * len(rows))  # both vectors, twice over
        with self._writing():
            self._shard.update(edge.UpdateOperation.upsert_points(rows))

    def _delete(self, ids: list[str]) -> None:
        with self._writing():
            self._shard.update(edge.UpdateOperation.delete_points([*ids]))

    def _nearest(
        self, vectors: NDArray[np.float32], using: VectorName, limit: int, filters: Sequence[list[FieldFilter]]
    ) -> list[list[tuple[str, float]]]:
        requests = [
            edge.QueryRequest(
                limit=limit,
                query=edge.Query.Nearest(vector.tolist(), using=using),
                filter=_filter(own),
                params=_SEARCH,
                with_payload=False,
            )
            for vector, own in zip(vectors, filters, strict=True)
        ]
        with self._reading():
            answers = self._shard.query_batch(edge.QueryBatchRequest(requests))
        return [[(str(point.id), point.score) for point in points] for points in answers]

    def _payloads(self, ids: list[str]) -> dict[str, Any]:
        with self._reading():
            found: Any = self._shard.retrieve([*ids], with_payload=True, with_vector=False)
            return {str(record.id): record.payload for record in found}

    def _vectors(self, ids: list[str]) -> dict[str, Any]:
        with self._reading():
            found: Any = self._shard.retrieve([*ids], with_payload=False, with_vector=True)
            return {str(record.id): record.vector for record in found}

    def _scroll(
        self, using: Sequence[VectorName], fields: Sequence[str] | Literal[True], limit: int, offset: Any
    ) -> tuple[list[tuple[Any, Any]], Any]:
        wanted = True if fields is True else [*fields]
        request = edge.ScrollRequest(offset=offset, limit=limit, with_payload=wanted, with_vector=[*using])
        with self._reading():
            page: Any = self._shard.scroll(request)
            records, following = page
            return [(record.vector, record.payload) for record in records], following

    def _writing(self) -> AbstractContextManager[None]:
        return one_line_errors(f"cannot write collection {self._path}", "check free space")

    def _reading(self) -> AbstractContextManager[None]:
        return one_line_errors(f"collection {self._path} is damaged", "build the index anew")


def _filter(filters: Sequence[FieldFilter]) -> edge.Filter | None:
    sides: dict[bool, list[Any]] = {True: [], False: []}
    for each in filters:
        match = edge.MatchAny([*each.values])
        sides[each.wanted].append(edge.FieldCondition(key=each.field, match=match))
    return edge.Filter(must=sides[True], must_not=sides[False]) if filters else None
