import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from indexing import EdgeStore, Exclusion, Point, Record
from titrate.errors import TitrateError

REPOSITORY = Path(__file__).parents[2]


def point(number: int, image: NDArray[np.float32], text: NDArray[np.float32]) -> Point:
    record = Record(str(number), f"{number}.png", f"report {number} «é»", "radiology", f"p{number // 2}", f"s{number}")
    return Point(record, image, text)


def random_points(count: int) -> list[Point]:
    rows = np.random.default_rng(0).normal(size=(2, count, 8)).astype(np.float32)
    return [point(i, rows[0, i], rows[1, i]) for i in range(count)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EdgeStore]:
    opened = EdgeStore.create(tmp_path / "store", 8)
    yield opened
    opened.close()


def test_similarity_is_the_cosine_by_hand(store: EdgeStore) -> None:
    east, north = np.eye(8, dtype=np.float32)[:2]
    store.upsert([point(0, 3 * east, north), point(1, east + north, north), point(2, -north, east)])
    [found] = store.search(np.stack([2 * east]), "image", 3)
    assert [match.record.id for match in found] == ["0", "1", "2"]
    np.testing.assert_allclose([match.similarity for match in found], [1, 0.5**0.5, 0], atol=1e-6)
    [by_text] = store.search(np.stack([east]), "text", 1)
    assert by_text[0].record == Record("2", "2.png", "report 2 «é»", "radiology", "p1", "s2")


def test_agrees_with_exact_search_under_each_exclusion(store: EdgeStore) -> None:
    points = random_points(300)
    store.upsert(points)
    store.optimize()
    exclusions = [
        [Exclusion(str(i)), Exclusion(study=f"s{i}"), Exclusion(patient=f"p{i // 2}")][i % 3] for i in range(300)
    ]
    queries = np.stack([p.image for p in points])
    unit = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    cosines = unit @ unit.T
    for i, found in enumerate(store.search(queries, "image", 5, exclusions)):
        allowed = [j for j in range(300) if (j // 2 != i // 2 if i % 3 == 2 else j != i)]
        best = sorted(allowed, key=lambda j: -cosines[i, j])[:5]
        assert [match.record.id for match in found] == [str(j) for j in best]
        np.testing.assert_allclose([match.similarity for match in found], cosines[i, best], atol=1e-5)


def test_replaces_deletes_and_survives_reopening(tmp_path: Path) -> None:
    points = random_points(6)
    store = EdgeStore.create(tmp_path / "s", 8)
    store.upsert(points)
    store.upsert([point(0, points[1].image, points[1].text)])
    store.delete(["5", "not there"])
    store.flush()
    store.close()
    store = EdgeStore.open(tmp_path / "s", 8)
    assert store.count() == 5
    assert sorted(match.record.id for match in store.search(points[1].image[None], "image", 2)[0]) == ["0", "1"]
    assert store.vectors("image", 3).shape == (3, 8)
    assert store.vectors("text", 99).shape == (5, 8)
    store.close()


def test_empty_store_and_no_limit(store: EdgeStore) -> None:
    assert store.search(np.ones((2, 8), np.float32), "image", 3) == [[], []]
    assert store.vectors("image", 5).shape == (0, 8)
    store.upsert(random_points(2))
    assert store.search(np.ones((1, 8), np.float32), "image", 0) == [[]]


def test_wrong_shapes_are_refused(store: EdgeStore) -> None:
    with pytest.raises(ValueError, match="length 8"):
        store.upsert([point(0, np.ones(8, np.float32), np.ones(7, np.float32))])
    with pytest.raises(ValueError, match=r"\[n, 8\]"):
        store.search(np.ones((1, 7), np.float32))
    with pytest.raises(ValueError, match="2 queries but 1"):
        store.search(np.ones((2, 8), np.float32), exclusions=[Exclusion()])
    assert store.count() == 0


def test_missing_and_half_made_collections(tmp_path: Path) -> None:
    with pytest.raises(TitrateError, match="cannot open"):
        EdgeStore.open(tmp_path / "none", 8)
    (tmp_path / ".s.new" / "segments").mkdir(parents=True)  # what a kill while creating leaves
    EdgeStore.create(tmp_path / "s", 8).close()


def test_two_processes_read_at_once(tmp_path: Path) -> None:
    store = EdgeStore.create(tmp_path / "s", 8)
    store.upsert(random_points(4))
    store.flush()
    code = "import sys, pathlib, indexing; print(indexing.EdgeStore.open(pathlib.Path(sys.argv[1]), 8).count())"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "s")], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "4" and store.count() == 4
    store.close()
