"""What a collection keeps of a record: a point, which is the record and two vectors, its number, and its hash."""

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from indexing.records import Record
from titrate import TitrateError

VectorName = Literal["image", "text"]
VECTOR_NAMES: tuple[VectorName, VectorName] = ("image", "text")

# Points are numbered by a hash of the record id: Qdrant takes only integers and UUIDs.
_NAMESPACE = uuid.UUID("0f3a3a52-5d3c-5c0e-9a55-7c1c1f6d2f0e")

Payload = dict[str, str | None]


@dataclass(frozen=True, eq=False)
class Point:
    """A record with the embeddings, each float32 [d], of its image and of its report."""

    record: Record
    image: NDArray[np.float32]
    text: NDArray[np.float32]


def point_id(record_id: str) -> str:
    """UUID, as text, of the point that holds a record."""
    return str(uuid.uuid5(_NAMESPACE, record_id))


def payload_of(record: Record) -> Payload:
    """What a point keeps beside its vectors."""
    return {
        "id": record.id,
        "image": record.image,
        "report": record.report,
        "domain": record.domain,
        "patient": record.patient,
        "study": record.study,
        "split": record.split,
    }


def vectors_of(point: Point) -> dict[str, Any]:
    """Both vectors by name."""
    return {"image": point.image.tolist(), "text": point.text.tolist()}


def payload_digest(payload: Mapping[str, Any]) -> bytes:
    """SHA-256 of what a point keeps beside its vectors: every field, and nothing else."""
    text = json.dumps(payload, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).digest()


def point_digest(payload: bytes, vectors: Mapping[str, Any]) -> bytes:
    """SHA-256 of a `payload_digest` and of both vectors as the store gives them back, float32 to the last bit.

    Raises
    ------
    LookupError, TypeError, ValueError
        If a vector is missing or is none.
    """
    digest = hashlib.sha256(payload)
    for name in VECTOR_NAMES:
        digest.update(np.asarray(vectors[name], "<f4").tobytes())
    return digest.digest()


def leading(row: list[tuple[str, float]], limit: int) -> list[tuple[str, float]]:
    """The first ``limit`` hits, and all that score the same as the last of these, which are ordered by id later.

    Cosines are clamped to [−1, 1], which rounding may exceed.

    Raises
    ------
    TitrateError
        If one is no number.
    """
    if not all(isfinite(score) for _, score in row):
        raise TitrateError(
            "the store gave similarities that are no numbers: vectors are damaged; build the index again"
        )
    clamped = [(identifier, min(1.0, max(-1.0, score))) for identifier, score in row]
    return clamped if len(clamped) <= limit else [hit for hit in clamped if hit[1] >= clamped[limit - 1][1]]
