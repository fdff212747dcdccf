"""Time from a ready embedding to its records: route and search on Edge, beside what else could hold the vectors.

    python -m benchmarks.query --sizes 10000 100000 1000000 --out bench/query.json

Vectors are synthetic: 256 Gaussian clusters of 32 intrinsic dimensions in 512, as embeddings lie, not noise, in which
no search by graph would find its way. Each query excludes the patient of its nearest record. Recall is against exact
cosines. Qdrant's local mode and LlamaIndex's store over it search every vector, and get fewer queries for that.
"""

import argparse
import json
import os
import platform
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

from benchmarks.synthetic import DIMENSION, Mixture, Vectors, patient_of, record, synthetic_index
from indexing import Exclusion, Index
from indexing.stores.disk import size_on_disk
from indexing.stores.naming import COLLECTIONS

QUERIES, PEER_QUERIES, WARM_UP, LIMIT, RECALL_AT = 1000, 100, 50, 8, 10

TARGET_MS = {100_000: 5.0}
Ask = Callable[[Vectors, str, int], list[str]]
"""A query [d], the patient to exclude, and a limit → record ids, best first."""


@dataclass(frozen=True)
class Row:
    """One system at one size: seconds to build and open, ms a query, and the share of the true nearest ten found."""

    system: str
    vectors: int
    build_s: float
    queries: int
    p50_ms: float
    p99_ms: float
    recall: float
    megabytes: float | None
    open_s: float | None = None
    """With every file compared with its checksum, as at every opening of an index."""


def main(sizes: Sequence[int], quantize_from: int, peers_to: int, out: Path | None) -> None:
    """Measure every system at every size that it can hold; print a table, and write JSON."""
    mixture = Mixture(0)
    queries = mixture.draw(QUERIES, 2**32 - 1)
    rows: list[Row] = []
    print(
        f"{'system':36}{'vectors':>9}{'build s':>9}{'p50 ms':>9}{'p99 ms':>9}{'recall@10':>11}{'MB':>8}{'open s':>8}",
        flush=True,
    )
    for size in sizes:
        truth = exact(mixture, size, queries)
        systems: list[System] = [edge("int8" if size >= quantize_from else "none")]
        systems += [local_mode, llama_index] if size <= peers_to else []
        for system in systems:
            rows.append(row := system(mixture, size, queries, truth))
            size_text = "" if row.megabytes is None else f"{row.megabytes:.0f}"
            open_text = "" if row.open_s is None else f"{row.open_s:.2f}"
            print(
                f"{row.system:36}{row.vectors:9}{row.build_s:9.1f}{row.p50_ms:9.2f}{row.p99_ms:9.2f}{row.recall:11.4f}"
                f"{size_text:>8}{open_text:>8}",
                flush=True,
            )
    for row in rows:
        if row.system.startswith("Edge") and row.vectors in TARGET_MS:
            verdict = "met" if row.p99_ms <= TARGET_MS[row.vectors] else "missed"
            print(f"target at {row.vectors}: p99 at most {TARGET_MS[row.vectors]} ms: {verdict}")
    if out is not None:
        packages = ("qdrant-edge-py", "qdrant-client", "llama-index-vector-stores-qdrant")
        machine = {"cpus": os.cpu_count(), "load": os.getloadavg()[0], "system": platform.platform()}
        figures = {"machine": machine, "versions": {name: version(name) for name in packages}}
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps({**figures, "rows": [asdict(row) for row in rows]}, indent=1) + "\n")


def exact(mixture: Mixture, size: int, queries: Vectors) -> list[tuple[str, list[str]]]:
    """The patient to exclude of each query, that of its nearest record, and the ids of its ten nearest others."""
    keep = RECALL_AT + 2
    best, numbers = np.full((len(queries), 0), 0.0, np.float32), np.full((len(queries), 0), 0)
    for start, rows in mixture.chunks(size):
        best = np.hstack([best, queries @ rows.T])
        numbers = np.hstack([numbers, np.tile(np.arange(start, start + len(rows)), (len(queries), 1))])
        order = np.argsort(-best, axis=1)[:, :keep]
        best, numbers = np.take_along_axis(best, order, 1), np.take_along_axis(numbers, order, 1)
    found = []
    for ranked in numbers.tolist():
        patient = patient_of(ranked[0])
        found.append((patient, [str(n) for n in ranked if patient_of(n) != patient][:RECALL_AT]))
    return found


System = Callable[[Mixture, int, Vectors, list[tuple[str, list[str]]]], Row]


def edge(quantization: str) -> System:
    """An `Index` on Qdrant Edge."""

    def run(mixture: Mixture, size: int, queries: Vectors, truth: list[tuple[str, list[str]]]) -> Row:
        with tempfile.TemporaryDirectory(prefix="titrate-bench-") as name:
            folder = Path(name)
            build_s = synthetic_index(folder, size, quantization)
            started = time.perf_counter()
            with Index.open(folder) as index:
                open_s = time.perf_counter() - started

                def ask(query: Vectors, patient: str, limit: int) -> list[str]:
                    [domain], _ = index.route(query[None])
                    [found] = index.search(domain, query[None], limit, [Exclusion(patient=patient)])
                    return [match.record.id for match in found]

                system = "Edge, int8 and rescoring" if quantization == "int8" else "Edge"
                megabytes = size_on_disk(folder / COLLECTIONS) / 1e6
                return replace(measure(system, size, build_s, ask, queries, truth, megabytes), open_s=open_s)

    return run


def local_mode(mixture: Mixture, size: int, queries: Vectors, truth: list[tuple[str, list[str]]]) -> Row:
    """qdrant-client without a server."""
    from qdrant_client import QdrantClient, models

    client = QdrantClient(":memory:")
    started = time.perf_counter()
    parameters = models.VectorParams(size=DIMENSION, distance=models.Distance.COSINE)
    client.create_collection("a", vectors_config={"image": parameters})
    for start, rows in mixture.chunks(size):
        payloads = [{**vars(record(start + i, "radiology"))} for i in range(len(rows))]
        ids = list(range(start, start + len(rows)))
        client.upsert("a", models.Batch(ids=[*ids], vectors={"image": rows.tolist()}, payloads=payloads))
    build_s = time.perf_counter() - started

    def ask(query: Vectors, patient: str, limit: int) -> list[str]:
        other = models.FieldCondition(key="patient", match=models.MatchValue(value=patient))
        unwanted = models.Filter(must_not=[other])
        found = client.query_points("a", query=query.tolist(), using="image", query_filter=unwanted, limit=limit)
        return [str(point.payload["id"]) for point in found.points if point.payload]

    row = measure("qdrant-client, local mode", size, build_s, ask, queries[:PEER_QUERIES], truth, None)
    client.close()
    return row


def llama_index(mixture: Mixture, size: int, queries: Vectors, truth: list[tuple[str, list[str]]]) -> Row:
    """LlamaIndex's QdrantVectorStore, over qdrant-client without a server."""
    from llama_index.core.schema import TextNode
    from llama_index.core.vector_stores import FilterOperator, MetadataFilter, MetadataFilters, VectorStoreQuery
    from llama_index.vector_stores.qdrant import QdrantVectorStore
    from qdrant_client import QdrantClient

    client = QdrantClient(":memory:")
    started = time.perf_counter()
    store = QdrantVectorStore("a", client=client)
    warnings.filterwarnings("ignore", "Payload indexes have no effect in the local Qdrant")
    for start, rows in mixture.chunks(size):
        nodes = []
        for i, vector in enumerate(rows):
            held = record(start + i, "radiology")
            metadata = {"record": held.id, "patient": held.patient, "study": held.study}
            nodes.append(TextNode(text=held.report, metadata=metadata, embedding=vector.tolist()))
        store.add([*nodes])
    build_s = time.perf_counter() - started

    def ask(query: Vectors, patient: str, limit: int) -> list[str]:
        other = MetadataFilter(key="patient", value=patient, operator=FilterOperator.NE)
        wanted = VectorStoreQuery(
            query_embedding=query.tolist(), similarity_top_k=limit, filters=MetadataFilters(filters=[other])
        )
        return [str(node.metadata["record"]) for node in store.query(wanted).nodes or []]

    row = measure("LlamaIndex QdrantVectorStore", size, build_s, ask, queries[:PEER_QUERIES], truth, None)
    client.close()
    return row


def measure(
    system: str,
    size: int,
    build_s: float,
    ask: Ask,
    queries: Vectors,
    truth: list[tuple[str, list[str]]],
    megabytes: float | None,
) -> Row:
    """Ask one query at a time, after some that do not count."""
    for query, (patient, _) in zip(queries[:WARM_UP], truth, strict=False):
        ask(query, patient, LIMIT)
    times = []
    for query, (patient, _) in zip(queries, truth, strict=False):
        started = time.perf_counter()
        ask(query, patient, LIMIT)
        times.append(1000 * (time.perf_counter() - started))
    hits = sum(
        len({*ask(query, patient, RECALL_AT)} & {*nearest})
        for query, (patient, nearest) in zip(queries, truth, strict=False)
    )
    p50, p99 = np.percentile(times, [50, 99])
    recall = hits / (RECALL_AT * len(queries))
    return Row(system, size, build_s, len(queries), float(p50), float(p99), recall, megabytes)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--quantize-from", type=int, default=1_000_000, help="int8 from this size on")
    parser.add_argument("--peers-to", type=int, default=100_000, help="largest size for the others")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    main(arguments.sizes, arguments.quantize_from, arguments.peers_to, arguments.out)
