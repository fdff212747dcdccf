"""What stays on disk of a record that was removed, and who may read what stays."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from indexing import BuildReport, Encoder, Index, build_index, index_info
from indexing.stores.edge import EdgeStore
from indexing.stores.edge_backend import EdgeBackend
from indexing.stores.settings import StoreSettings
from tests.indexing.conftest import CorpusMaker
from tests.indexing.few import few_records
from tests.indexing.stores.test_store import random_points
from titrate import InputError, TitrateError

Built = tuple[Path, Path, BuildReport]
SECRET = "Zwölffingerdarmgeschwür"


def telling(record: dict[str, Any]) -> dict[str, Any]:
    return {**record, "id": f"id-{SECRET}", "report": f"{SECRET}. {record['report']}", "patient": f"of-{SECRET}"}


def places(index: Path) -> list[str]:
    """Files at or beside an index that hold the secret, as it is or as JSON writes it."""
    words = (SECRET.encode(), json.dumps(SECRET).strip('"').encode())
    files = [path for path in index.parent.rglob("*") if path.is_file() and "corpus" not in path.parts]
    return sorted(str(path.relative_to(index.parent)) for path in files if any(w in path.read_bytes() for w in words))


@pytest.mark.parametrize("quantization", ["none", "int8"])
def test_nothing_of_a_pruned_record_stays(
    tmp_path: Path, encoder: Encoder, write_corpus: CorpusMaker, quantization: Any
) -> None:
    records = few_records()
    index, store = tmp_path / "index", StoreSettings(quantization=quantization)
    build_index(write_corpus([telling(records[0]), *records[1:]]), index, encoder, store=store)
    assert any(name.startswith("index/collections") for name in places(index)), "or else nothing would be shown"
    assert "index/ledger.sqlite" in places(index)
    report = build_index(write_corpus(records[1:]), index, encoder, prune=True)
    assert report.removed == 1 and places(index) == []
    with Index.open(index) as opened:
        assert len(opened.search("pathology", np.ones((1, 16), np.float32), 100)[0]) == 19


@pytest.mark.parametrize("how", ["another report", "another split", "another domain", "rebuilt"])
def test_nothing_stays_of_what_was_replaced(
    tmp_path: Path, encoder: Encoder, write_corpus: CorpusMaker, how: str
) -> None:
    records = few_records()
    index, first = tmp_path / "index", {**records[0], "report": SECRET}
    build_index(write_corpus([first, *records[1:]]), index, encoder)
    assert places(index)
    now = {
        "another report": {**first, "report": "Clear."},
        "another split": {**first, "split": "test"},
        "another domain": {**first, "report": "Clear.", "domain": "radiology"},
        "rebuilt": records[0],
    }[how]
    build_index(write_corpus([now, *records[1:]]), index, encoder, rebuild=how == "rebuilt")
    assert places(index) == []


def test_a_domain_that_is_emptied_holds_nothing(tmp_path: Path, encoder: Encoder, write_corpus: CorpusMaker) -> None:
    records = few_records()
    index = tmp_path / "index"
    build_index(write_corpus([{**telling(records[0]), "domain": SECRET}, *records[1:]]), index, encoder)
    build_index(write_corpus(records[1:]), index, encoder, prune=True)
    assert places(index) == []


def test_an_interrupted_removal_is_completed(
    tmp_path: Path, encoder: Encoder, write_corpus: CorpusMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = few_records()
    index = tmp_path / "index"
    build_index(write_corpus([telling(records[0]), *records[1:]]), index, encoder)
    with monkeypatch.context() as patch:
        patch.setattr(EdgeBackend, "compact", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            build_index(write_corpus(records[1:]), index, encoder, prune=True)
    build_index(write_corpus(records[1:]), index, encoder, prune=True)
    assert places(index) == []


def test_a_collection_is_the_same_without_what_was_removed(tmp_path: Path) -> None:
    backend = EdgeBackend(tmp_path, StoreSettings())
    store = backend.create("a", 8)
    store.upsert(random_points(1200))
    store.delete([str(number) for number in range(100)])
    store.flush()
    query = np.random.default_rng(1).standard_normal((4, 8)).astype(np.float32)
    before, size = store.search(query, "text", 20), store.count()
    store.close()
    backend.compact("a", 8)
    folder = tmp_path / "collections" / backend.collections()[0]
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    # As kills leave it: before the first rename, between the two, and after the second.
    (folder.parent / f".{folder.name}.dense").mkdir()
    backend.compact("a", 8)
    folder.rename(folder.parent / f".{folder.name}.dense")
    (folder.parent / f".{folder.name}.loose").mkdir()
    assert backend.exists("a")
    backend.compact("a", 8)
    again = backend.open("a", 8)
    assert (again.search(query, "text", 20), again.count()) == (before, size)
    again.close()


@pytest.fixture
def open_to_all() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def test_an_index_is_its_owners_until_its_owner_says_otherwise(
    open_to_all: None, tmp_path: Path, encoder: Encoder, write_corpus: CorpusMaker
) -> None:
    index, records = tmp_path / "index", few_records()
    build_index(write_corpus(records[1:]), index, encoder)
    assert stat.S_IMODE(index.stat().st_mode) == 0o700
    build_index(write_corpus(records), index, encoder)
    assert stat.S_IMODE(index.stat().st_mode) == 0o700
    index.chmod(0o750)
    build_index(write_corpus(records[1:]), index, encoder, prune=True)
    assert stat.S_IMODE(index.stat().st_mode) == 0o750, "as its owner shared it"


@pytest.fixture
def read_only(built: Built, tmp_path: Path) -> Iterator[Path]:
    """The index where nobody can write, not even root."""
    place = tmp_path / "read-only"
    place.mkdir()
    bind = ["mount", "--bind", str(built[0]), str(place)]
    if subprocess.run(bind, capture_output=True, check=False).returncode:
        pytest.skip("mounting needs rights that this user lacks")
    subprocess.run(["mount", "-o", "remount,ro,bind", str(place)], check=True)
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_read_only_index_is_read(
    built: Built, read_only: Path, encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    queries = np.random.default_rng(0).standard_normal((4, 16)).astype(np.float32)
    with Index.open(read_only) as locked, Index.open(built[0]) as opened:
        assert list(temporary.iterdir()) == [], "no copy of reports stays, not even after a kill"
        for domain in opened.domains:
            assert locked.search(domain, queries, 5) == opened.search(domain, queries, 5)
        assert locked.patients() == opened.patients() and locked.fingerprint == opened.fingerprint
    assert index_info(read_only).domains == {"pathology": 20, "radiology": 20}
    with pytest.raises(InputError, match=r"cannot open index .*Read-only file system"):
        build_index(built[1], read_only, encoder)


def test_a_mounted_index_is_built_in_place(read_only: Path, encoder: Encoder, write_corpus: CorpusMaker) -> None:
    """As in a container: the folder cannot be renamed, and what is beside it is another disk's."""
    subprocess.run(["mount", "-o", "remount,rw,bind", str(read_only)], check=True)
    corpus = write_corpus(few_records()[1:])
    with Index.open(read_only), pytest.raises(InputError, match="busy: another process is building or using it"):
        build_index(corpus, read_only, encoder, prune=True)
    assert build_index(corpus, read_only, encoder, prune=True).removed == 1
    assert [path.name for path in read_only.parent.iterdir() if path.name.startswith(".")] == []


def test_a_collection_is_not_written_to_by_way_of_a_copy(built: Built, read_only: Path) -> None:
    """A build must not take for written what went into a copy."""
    [folder, _] = sorted((read_only / "collections").iterdir())
    with pytest.raises(TitrateError, match="cannot open collection"):
        EdgeStore.open(folder, 16)


def test_somebody_elses_index_is_read(built: Built, tmp_path: Path) -> None:
    """By another user, who may read it and no more."""
    if os.geteuid():
        pytest.skip("becoming another user needs rights that this user lacks")
    index = built[0]
    subprocess.run(["chmod", "-R", "go+rX", str(index)], check=True)
    for folder in (index, *index.parents):
        if str(folder).startswith("/tmp/"):
            folder.chmod(folder.stat().st_mode | 0o755)
    code = (
        "import os, sys; os.setgid(65534); os.setuid(65534); sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\nfrom indexing import Index\n"
        "with Index.open(Path(sys.argv[2])) as index: print(sum(index.manifest.domains.values()), index.domains)"
    )
    command = [sys.executable, "-c", code, str(Path(__file__).parents[3]), str(index)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    if "ModuleNotFoundError" in done.stderr or "PermissionError" in done.stderr:
        pytest.skip("another user may not read this program")
    assert done.stdout == "40 ['pathology', 'radiology']\n", done.stderr
