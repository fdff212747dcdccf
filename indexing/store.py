"""What a store of one domain's vectors does, whatever keeps them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from indexing.records import Record

VectorName = Literal["image", "text"]
VECTOR_NAMES: tuple[VectorName, VectorName] = ("image", "text")


@dataclass(frozen=True, eq=False)
class Point:
    """A record with the embeddings, each float32 [d], of its image and of its report."""

    record: Record
    image: NDArray[np.float32]
    text: NDArray[np.float32]


@dataclass(frozen=True)
class Match:
    """A retrieved record and its cosine similarity to the query, −1 to 1."""

    record: Record
    similarity: float


@dataclass(frozen=True)
class Exclusion:
    """What a query must not get back: its own record, study and patient, as far as they are known."""

    record_id: str | None = None
    study: str | None = None
    patient: str | None = None


class VectorStore(ABC):
    """One collection of points under the named vectors ``image`` and ``text``."""

    @abstractmethod
    def upsert(self, points: Sequence[Point]) -> None:
        """Insert points, replacing those with the same record id. Durable only after `flush`."""

    @abstractmethod
    def delete(self, ids: Sequence[str]) -> None:
        """Remove the records with these ids, if present. Durable only after `flush`."""

    @abstractmethod
    def flush(self) -> None:
        """Return once everything done so far survives the end of the process, however it ends."""

    @abstractmethod
    def search(
        self,
        vectors: NDArray[np.float32],
        using: VectorName = "image",
        limit: int = 10,
        exclusions: Sequence[Exclusion] | None = None,
    ) -> list[list[Match]]:
        """The nearest records of each query, best first, equal ones by id.

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
        """

    @abstractmethod
    def vectors(self, using: VectorName, limit: int) -> NDArray[np.float32]:
        """At most ``limit`` stored vectors, float32 [n, d], a selection that depends on nothing but the ids."""

    @abstractmethod
    def count(self) -> int:
        """Number of points."""

    @abstractmethod
    def close(self) -> None:
        """Release files and memory; the store cannot be used afterwards."""
