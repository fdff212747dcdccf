"""What only Edge does; `test_store` holds what all backends share."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from indexing import EdgeStore
from indexing.stores.edge_backend import EdgeBackend
from indexing.stores.settings import StoreSettings
from tests.indexing.stores.test_store import random_points
from titrate import TitrateError

REPOSITORY = Path(__file__).parents[3]


def test_missing_and_half_made_collections(tmp_path: Path) -> None:
    with pytest.raises(TitrateError, match="cannot open"):
        EdgeStore.open(tmp_path / "none", 8)
    (tmp_path / ".s.new" / "segments").mkdir(parents=True)  # what a kill while creating leaves
    EdgeStore.create(tmp_path / "s", 8).close()
    with pytest.raises(TitrateError, match="cannot create"):
        EdgeStore.create(tmp_path / "s", 8)


def test_half_dropped_collection_is_no_collection(tmp_path: Path) -> None:
    backend = EdgeBackend(tmp_path, StoreSettings())
    backend.create("a", 8).close()
    folder = tmp_path / "collections" / backend.collections()[0]
    (folder.with_name(f".{folder.name}.old") / "segments").mkdir(parents=True)  # what a kill while dropping leaves
    assert backend.collections() == [folder.name]
    backend.drop_all()
    assert list((tmp_path / "collections").iterdir()) == []


def test_size_is_that_of_the_blocks_in_use(tmp_path: Path) -> None:
    backend = EdgeBackend(tmp_path, StoreSettings())
    assert backend.size_bytes() == 0
    store = backend.create("a", 8)
    store.upsert(random_points(50))
    store.flush()
    store.close()
    listed = subprocess.run(
        ["du", "-s", "--block-size=1", str(tmp_path / "collections")], capture_output=True, text=True, check=True
    )
    assert backend.size_bytes() == pytest.approx(int(listed.stdout.split()[0]), rel=0.05)


def test_two_processes_read_at_once(tmp_path: Path) -> None:
    store = EdgeStore.create(tmp_path / "s", 8)
    store.upsert(random_points(4))
    store.flush()
    code = "import sys, qdrant_edge as e; print(e.EdgeShard.load(sys.argv[1]).count(e.CountRequest(exact=True)))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "s")], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "4" and store.count() == 4
    assert len(store.search(np.ones((1, 8), np.float32), "text", 9)[0]) == 4
    store.close()


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("vector_storage-image/vectors/status.dat", b""),  # Rust panics, with what is no Exception in Python
        ("vector_storage-image/vectors/status.dat", None),
        ("vector_storage-text/deleted/status.dat", b"\1"),
        ("payload_storage/page_0.dat", b"\xff" * (32 << 20)),
        ("segment.json", b"{"),
        ("mutable_id_tracker.mappings", b"\xff" * 99),
    ],
)
def test_a_damaged_collection_is_one_line(tmp_path: Path, file: str, content: bytes | None) -> None:
    store = EdgeStore.create(tmp_path / "s", 8)
    store.upsert(random_points(9))
    store.flush()
    store.close()
    damaged = next((tmp_path / "s" / "segments").glob(f"*/{file}"))
    damaged.unlink()
    if content is not None:
        damaged.write_bytes(content)
    with pytest.raises(TitrateError, match=r"collection .* build the index anew") as refused:
        EdgeStore.open(tmp_path / "s", 8).search(np.ones((1, 8), np.float32), "text", 9)
    assert "\n" not in str(refused.value)
