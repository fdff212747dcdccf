"""The same operations on every backend: ids, order and scores are compared with exact cosines, computed here."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from qdrant_client import QdrantClient

from indexing import Exclusion, Match, Point, Record, VectorStore
from indexing.stores.backend import Backend
from indexing.stores.edge_backend import EdgeBackend
from indexing.stores.points import VectorName
from indexing.stores.server import ServerBackend
from indexing.stores.settings import Quantization, StoreSettings
from tests.indexing.loopback import loopback
from titrate import TitrateError

# The server's in-memory stand-in tells that it needs neither.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact"),
]

D = 8
Vectors = NDArray[np.float32]


@pytest.fixture(params=["edge", "edge-int8", "memory", "http"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    with ExitStack() as stack:
        match request.param:
            case "edge":
                made: Backend = EdgeBackend(tmp_path, StoreSettings())
            case "edge-int8":
                made = EdgeBackend(tmp_path, StoreSettings(quantization="int8"))
            case "memory":
                settings = StoreSettings("http://localhost:6333", shards=2, replicas=1, quantization="int8")
                made = ServerBackend(settings.renewed(), "key", QdrantClient(":memory:"))
            case _:
                url, _ = stack.enter_context(loopback())
                made = ServerBackend(StoreSettings(url).renewed(), "key")
        yield stack.enter_context(made)


@pytest.fixture
def store(backend: Backend) -> Iterator[VectorStore]:
    opened = backend.create("radiology", D)
    yield opened
    opened.close()


def point(number: int, image: Vectors, text: Vectors) -> Point:
    record = Record(str(number), f"{number}.png", f"report {number} «é»", "radiology", f"p{number // 2}", f"s{number}")
    return Point(record, image, text)


def random_points(count: int) -> list[Point]:
    rows = np.random.default_rng(0).normal(size=(2, count, D)).astype(np.float32)
    return [point(i, rows[0, i], rows[1, i]) for i in range(count)]


def ids(matches: list[Match]) -> list[str]:
    return [match.record.id for match in matches]


def cosines(queries: Vectors, stored: Vectors) -> NDArray[np.float64]:
    a, b = queries.astype(np.float64), stored.astype(np.float64)
    result: NDArray[np.float64] = a @ b.T / np.linalg.norm(a, axis=1)[:, None] / np.linalg.norm(b, axis=1)
    return result


def test_similarity_is_the_cosine_by_hand(store: VectorStore) -> None:
    east, north = np.eye(D, dtype=np.float32)[:2]
    store.upsert([point(0, 3 * east, north), point(1, east + north, north), point(2, -north, east)])
    [found] = store.search(np.stack([2 * east]), "image", 3)
    assert ids(found) == ["0", "1", "2"]
    np.testing.assert_allclose([match.similarity for match in found], [1, 0.5**0.5, 0], atol=1e-6)
    [[by_text]] = store.search(np.stack([east]), "text", 1)
    assert by_text.record == Record("2", "2.png", "report 2 «é»", "radiology", "p1", "s2")
    assert -1 <= min(match.similarity for match in found) <= max(match.similarity for match in found) <= 1


@pytest.mark.parametrize("using", ["image", "text"])
def test_agrees_with_exact_search_under_each_exclusion(store: VectorStore, using: VectorName) -> None:
    points = random_points(300)
    store.upsert(points)
    store.optimize()
    kinds = [lambda i: Exclusion(str(i)), lambda i: Exclusion(study=f"s{i}"), lambda i: Exclusion(patient=f"p{i // 2}")]
    exclusions = [kinds[i % 3](i) for i in range(60)]
    queries = np.stack([p.image if using == "image" else p.text for p in points])
    expected = cosines(queries, queries)
    for i, found in enumerate(store.search(queries[:60], using, 5, exclusions)):
        allowed = [j for j in range(300) if (j // 2 != i // 2 if i % 3 == 2 else j != i)]
        best = sorted(allowed, key=lambda j: -expected[i, j])[:5]
        assert ids(found) == [str(j) for j in best]
        np.testing.assert_allclose([match.similarity for match in found], expected[i, best], atol=1e-5)
    [unfiltered] = store.search(queries[:1], using, 1, [Exclusion()])
    assert ids(unfiltered) == ["0"]


def test_equal_scores_are_ordered_by_id_at_every_limit(store: VectorStore) -> None:
    one, other = np.eye(D, dtype=np.float32)[:2]
    store.upsert([point(number, one, one) for number in (5, 3, 9, 1, 7)] + [point(2, other, other)])
    for limit in range(1, 8):
        [found] = store.search(one[None], "image", limit)
        assert ids(found) == ["1", "3", "5", "7", "9", "2"][:limit]


def test_replaces_deletes_and_survives_reopening(backend: Backend) -> None:
    points = random_points(6)
    store = backend.create("radiology", D)
    store.upsert(points)
    store.upsert([point(0, points[1].image, points[1].text)])
    store.delete(["5", "not there"])
    store.delete([])
    store.flush()
    store.close()
    store = backend.open("radiology", D)
    assert store.count() == 5
    [found] = store.search(points[1].image[None], "image", 2)
    assert ids(found) == ["0", "1"]
    store.close()


def test_vectors_are_unit_rows_chosen_by_id_alone(store: VectorStore, backend: Backend) -> None:
    points = random_points(40)
    store.upsert(points)
    twin = backend.create("twin", D)
    twin.upsert(points[::-1])
    some, units = store.vectors("text", 15)
    np.testing.assert_allclose(some, twin.vectors("text", 15)[0], atol=1e-6)
    assert units == twin.vectors("text", 15)[1]
    twin.close()
    np.testing.assert_allclose(np.linalg.norm(some, axis=1), 1, atol=1e-5)
    everything, units = store.vectors("text", 99)
    assert everything.shape == (40, D) and everything.dtype == np.float32
    nearest = cosines(everything, np.stack([p.text for p in points]))
    np.testing.assert_allclose(nearest.max(axis=1), 1, atol=1e-5)
    assert units == [points[row].record.patient for row in nearest.argmax(axis=1)]


def test_vectors_beyond_one_page(store: VectorStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("indexing.stores.base.PAGE", 7)
    store.upsert(random_points(20))
    assert len(np.unique(store.vectors("image", 18)[0], axis=0)) == 18
    assert len(store.search(np.ones((1, D), np.float32), "image", 20)[0]) == 20


def test_empty_store_and_no_limit(store: VectorStore) -> None:
    assert store.search(np.ones((2, D), np.float32), "image", 3) == [[], []]
    assert store.search(np.ones((0, D), np.float32)) == []
    assert store.vectors("image", 5)[0].shape == (0, D)
    store.upsert([])
    store.upsert(random_points(2))
    assert store.search(np.ones((1, D), np.float32), "image", 0) == [[]]
    assert store.vectors("image", 0)[0].shape == (0, D)


def test_wrong_shapes_are_refused(store: VectorStore) -> None:
    with pytest.raises(ValueError, match="length 8"):
        store.upsert([point(0, np.ones(D, np.float32), np.ones(7, np.float32))])
    with pytest.raises(ValueError, match=r"\[n, 8\]"):
        store.search(np.ones((1, 7), np.float32))
    with pytest.raises(ValueError, match="2 queries but 1"):
        store.search(np.ones((2, D), np.float32), exclusions=[Exclusion()])
    assert store.count() == 0


def test_collections_come_and_go(backend: Backend) -> None:
    for domain in ("radiology", "Röntgen / CT", "胸"):
        assert not backend.exists(domain)
        store = backend.create(domain, D)
        store.upsert(random_points(3))
        store.flush()
        store.close()
        assert backend.exists(domain)
    assert len(backend.collections()) == 3
    with pytest.raises(TitrateError, match="build the index anew"):
        backend.open("radiology", D + 1)
    backend.drop_all()
    backend.drop_all()
    assert not backend.exists("radiology") and backend.collections() == []
    with pytest.raises(TitrateError, match="build the index anew"):
        backend.open("radiology", D)


@pytest.mark.slow
@pytest.mark.parametrize("quantization", ["none", "int8"])
def test_a_smaller_limit_finds_the_beginning_of_a_larger_one(tmp_path: Path, quantization: Quantization) -> None:
    """At a size where Edge searches its graph, not every vector: 20,000 in 200 clusters."""
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(200, 24))
    inner = centres[rng.integers(200, size=20_100)] + 0.5 * rng.normal(size=(20_100, 24))
    rows: Vectors = (inner @ rng.normal(size=(24, 192))).astype(np.float32)
    stored, queries = rows[:20_000], rows[20_000:]
    settings = StoreSettings(quantization=quantization)
    store = EdgeBackend(tmp_path, settings).create("radiology", 192)
    for start in range(0, len(stored), 1000):
        store.upsert([point(start + i, row, row[:192]) for i, row in enumerate(stored[start : start + 1000])])
    store.optimize()
    exclusions = [Exclusion(patient=f"p{i}") for i in range(len(queries))]
    longest = store.search(queries, "image", 128, exclusions)
    for limit in (1, 2, 3, 8, 40):
        assert store.search(queries, "image", limit, exclusions) == [row[:limit] for row in longest]
    for query, exclusion, row in zip(queries, exclusions, longest, strict=True):
        assert store.search(query[None], "image", 3, [exclusion]) == [row[:3]]
    expected = cosines(queries, stored)
    expected[np.arange(200) // 2, np.arange(200)] = -2  # the excluded patients' two records each
    hits = 0
    for i, row in enumerate(longest):
        hits += len({*map(int, ids(row[:10]))} & {*np.argsort(-expected[i])[:10].tolist()})
        found = [expected[i, int(match.record.id)] for match in row]
        np.testing.assert_allclose([match.similarity for match in row], found, atol=1e-5)
    assert hits / (10 * len(queries)) >= 0.99
    store.close()
