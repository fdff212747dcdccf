"""An index's vectors on a Qdrant server or cluster, over REST.

`flush` has nothing to do: each write returns when the server has it in its write-ahead log and has applied it.
Payload and vectors travel as they are: use https where the network is not yours alone.
"""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from qdrant_client import QdrantClient, models

from indexing.stores.backend import Backend
from indexing.stores.base import (
    IDENTITY_FIELDS,
    MIN_CANDIDATES,
    OVERSAMPLING,
    VectorStore,
)
from indexing.stores.connection import Connection
from indexing.stores.filters import FieldFilter
from indexing.stores.naming import collection_name
from indexing.stores.points import VECTOR_NAMES, Point, VectorName, payload_of, point_id, vectors_of
from indexing.stores.settings import QUANTILE, StoreSettings
from titrate import TitrateError

UPSERT_BATCH = 128
"""Points a request: 128 × 2 vectors of 4096 numbers as JSON stay below the server's limit of 32 MB."""

POLL_S = 2.0
_SEARCH = models.SearchParams(
    hnsw_ef=MIN_CANDIDATES, quantization=models.QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING)
)


class ServerStore(VectorStore):
    """A collection of a server; `ServerBackend` makes and opens them."""

    def __init__(self, connection: Connection, name: str, dimension: int) -> None:
        super().__init__(name, dimension)
        self._connection = connection

    def flush(self) -> None:
        """Nothing to do: see the module."""

    def optimize(self) -> None:
        """Wait until the server has built its search graph; until then searches would be slow.

        Raises
        ------
        TitrateError
            If the server reports that it cannot.
        """
        index_payload(self._connection, self.name)  # missing only if a kill came between the collection and these
        while True:
            info = self._connection.call(lambda client: client.get_collection(self.name), self.name)
            if info.status == models.CollectionStatus.RED:
                raise TitrateError(
                    f"Qdrant server {self._connection.url} cannot optimise collection {self.name}; see its log"
                )
            if info.status != models.CollectionStatus.YELLOW:
                return
            time.sleep(POLL_S)

    def count(self) -> int:
        """Number of points, exactly."""
        return self._connection.call(lambda client: client.count(self.name, exact=True).count, self.name)

    def close(self) -> None:
        """Nothing to release: the connection is the backend's."""

    def _write(self, points: Sequence[Point]) -> None:
        for start in range(0, len(points), UPSERT_BATCH):
            rows = [
                models.PointStruct(
                    id=point_id(point.record.id), vector=vectors_of(point), payload={**payload_of(point.record)}
                )
                for point in points[start : start + UPSERT_BATCH]
            ]
            write = partial(QdrantClient.upsert, collection_name=self.name, points=rows, wait=True)
            self._connection.call(write, self.name)

    def _delete(self, ids: list[str]) -> None:
        selected = models.PointIdsList(points=[*ids])
        self._connection.call(lambda client: client.delete(self.name, selected, wait=True), self.name)

    def _nearest(
        self, vectors: NDArray[np.float32], using: VectorName, limit: int, filters: Sequence[list[FieldFilter]]
    ) -> list[list[tuple[str, float]]]:
        requests = [
            models.QueryRequest(
                query=vector.tolist(),
                using=using,
                limit=limit,
                filter=_filter(own),
                params=_SEARCH,
                with_payload=False,
            )
            for vector, own in zip(vectors, filters, strict=True)
        ]
        answers = self._connection.call(lambda client: client.query_batch_points(self.name, requests), self.name)
        return [[(str(point.id), point.score) for point in answer.points] for answer in answers]

    def _payloads(self, ids: list[str]) -> dict[str, Any]:
        found = self._connection.call(lambda client: client.retrieve(self.name, ids, with_payload=True), self.name)
        return {str(record.id): record.payload for record in found}

    def _vectors(self, ids: list[str]) -> dict[str, Any]:
        found = self._connection.call(
            lambda client: client.retrieve(self.name, ids, with_payload=False, with_vectors=[*VECTOR_NAMES]), self.name
        )
        return {str(record.id): record.vector for record in found}

    def _scroll(
        self, using: Sequence[VectorName], fields: Sequence[str] | Literal[True], limit: int, offset: Any
    ) -> tuple[list[tuple[Any, Any]], Any]:
        wanted = True if fields is True else [*fields]
        records, following = self._connection.call(
            lambda client: client.scroll(
                self.name, limit=limit, offset=offset, with_payload=wanted, with_vectors=[*using]
            ),
            self.name,
        )
        return [(record.vector, record.payload) for record in records], following


class ServerBackend(Backend):
    """Collections PREFIX-SLUG-HASH of a Qdrant server.

    Parameters
    ----------
    settings
        With a URL and a prefix.
    api_key
        Sent with every request; kept nowhere else.
    client
        Use this one instead of a connection of our own.

    Raises
    ------
    InputError
        If the key would go over plain http to another machine.
    TitrateError
        If the server cannot be reached, refuses the key, or is too old.
    """

    def __init__(self, settings: StoreSettings, api_key: str | None = None, client: QdrantClient | None = None) -> None:
        if settings.url is None or not settings.prefix:
            raise ValueError("a server backend needs settings with a URL and a prefix; see StoreSettings.renewed")
        super().__init__(settings, settings.url)
        self._connection = Connection(settings.url, api_key, client)

    def create(self, domain: str, dimension: int) -> VectorStore:
        """A new collection; see `Backend.create`."""
        name = self._name(domain)
        vectors: dict[str, models.VectorParams] = {
            each: models.VectorParams(size=dimension, distance=models.Distance.COSINE) for each in VECTOR_NAMES
        }
        int8 = models.ScalarQuantization(
            scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, quantile=QUANTILE, always_ram=True)
        )

        def make(client: QdrantClient) -> None:
            if not client.collection_exists(name):  # it does if an earlier try's answer was lost
                client.create_collection(
                    name,
                    vectors_config=vectors,
                    shard_number=self.settings.shards,
                    replication_factor=self.settings.replicas,
                    quantization_config=int8 if self.settings.quantization == "int8" else None,
                )

        self._connection.call(make, name)
        index_payload(self._connection, name)
        return self.open(domain, dimension)

    def open(self, domain: str, dimension: int) -> VectorStore:
        """An existing collection; see `Backend.open`."""
        name = self._name(domain)
        if not self.exists(domain):
            raise TitrateError(
                f"Qdrant server {self.location} has no collection {name}; build the index anew, or restore the server's"
            )
        info = self._connection.call(lambda client: client.get_collection(name), name)
        vectors = info.config.params.vectors
        sizes = {each: found.size for each, found in vectors.items()} if isinstance(vectors, dict) else {}
        if sizes != dict.fromkeys(VECTOR_NAMES, dimension):
            raise TitrateError(
                f"collection {name} of {self.location} does not hold image and text vectors of length {dimension}; "
                "build the index anew"
            )
        return ServerStore(self._connection, name, dimension)

    def exists(self, domain: str) -> bool:
        """True if the domain has a collection."""
        name = self._name(domain)
        return self._connection.call(lambda client: client.collection_exists(name), name)

    def collections(self) -> list[str]:
        """Names of this index's collections, sorted."""
        found = self._connection.call(lambda client: client.get_collections().collections)
        return sorted(each.name for each in found if each.name.startswith(f"{self.settings.prefix}-"))

    def compact(self, domain: str, dimension: int) -> None:
        """Nothing: a server rewrites its segments when it sees fit."""

    def drop_all(self) -> None:
        """Delete every collection of this index."""
        for name in self.collections():
            self._connection.call(partial(QdrantClient.delete_collection, collection_name=name), name)

    def seal(self, domains: Mapping[str, int], dimension: int) -> dict[str, str]:
        """Nothing to name: a server keeps its files to itself."""
        return {}

    def checksums(self) -> dict[str, str]:
        """None; see `seal`."""
        return {}

    def size_bytes(self) -> None:
        """Unknown: a server does not tell what a collection takes."""
        return None

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _name(self, domain: str) -> str:
        return f"{self.settings.prefix}-{collection_name(domain)}"


def index_payload(connection: Connection, name: str) -> None:
    """Index what `Exclusion` filters by; does nothing where that is done."""
    for field in IDENTITY_FIELDS:
        create = partial(QdrantClient.create_payload_index, collection_name=name, field_name=field, wait=True)
        connection.call(partial(create, field_schema=models.PayloadSchemaType.KEYWORD), name)


def _filter(filters: Sequence[FieldFilter]) -> models.Filter | None:
    sides: dict[bool, list[Any]] = {True: [], False: []}
    for each in filters:
        match = models.MatchAny(any=[*each.values])
        sides[each.wanted].append(models.FieldCondition(key=each.field, match=match))
    return models.Filter(must=sides[True], must_not=sides[False]) if filters else None
