"""Who may have an index open at the same time: any number of readers, and one build."""

from pathlib import Path

import numpy as np
import pytest

from indexing import BuildReport, Encoder, Index, Manifest, build_index, index_info
from indexing.folder.lock import lock_index
from indexing.stores.edge import EdgeStore
from tests.indexing.conftest import CorpusMaker
from tests.indexing.few import few_records
from titrate import InputError

Built = tuple[Path, Path, BuildReport]
ANYWHERE = np.ones((1, 16), np.float32)


def beside(index: Path) -> list[str]:
    return sorted(path.name for path in index.parent.iterdir() if path.name.startswith(f".{index.name}"))


def ids(index: Index) -> set[str]:
    return {match.record.id for name in index.domains for match in index.search(name, ANYWHERE, 100)[0]}


def test_a_build_that_has_the_folder_alone_is_told_of(built: Built, encoder: Encoder) -> None:
    index, corpus, _ = built
    with lock_index(index, exclusive=True):
        for read in (Index.open, index_info):
            with pytest.raises(InputError, match="busy: it is being built"):
                read(index)
        with pytest.raises(InputError, match="busy"):
            build_index(corpus, index, encoder)
        manifest = (index / "manifest.json").read_bytes()
        (index / "manifest.json").unlink()  # as a first build has none yet
        for load in (Manifest.load, Index.open):
            with pytest.raises(InputError, match="busy: it is being built"):
                load(index)
        (index / "manifest.json").write_bytes(manifest)
    assert build_index(corpus, index, encoder).unchanged == 40
    assert beside(index) == []


def test_readers_and_builds_do_not_wait_for_each_other(
    built: Built, encoder: Encoder, write_corpus: CorpusMaker
) -> None:
    index, _, _ = built
    records = few_records()
    with Index.open(index) as old:
        before, patients = ids(old), old.patients()
        fewer = write_corpus(records[1:])
        with pytest.warns(
            RuntimeWarning, match="stays on disk, with what was removed from it, until the last of those"
        ):
            assert build_index(fewer, index, encoder, prune=True).removed == 1
        with Index.open(index) as new:
            assert ids(new) == before - {records[0]["id"]}
            assert (ids(old), old.patients()) == (before, patients), "as it was opened"
            assert len(old.copies([bytes(32)])) == 1
            assert len(beside(index)) == 1
        assert build_index(write_corpus(records), index, encoder).embedded == 1
        assert ids(old) == before
        assert len(beside(index)) == 1, "what nobody reads any more is gone"
    assert beside(index) == [], "the last reader of the old index took it with it"


def test_a_build_that_changes_nothing_leaves_the_index_as_it_is(built: Built, encoder: Encoder) -> None:
    index, corpus, _ = built
    files = {path: path.stat().st_ino for path in index.rglob("*") if path.is_file()}
    assert build_index(corpus, index, encoder).unchanged == 40
    assert {path: path.stat().st_ino for path in index.rglob("*") if path.is_file()} == files


def test_an_index_that_is_a_link_stays_one(tmp_path: Path, encoder: Encoder, write_corpus: CorpusMaker) -> None:
    real, link = tmp_path / "disk" / "real", tmp_path / "index"
    real.mkdir(parents=True)
    link.symlink_to(real)
    records = few_records()
    build_index(write_corpus(records[1:]), link, encoder)
    build_index(write_corpus(records), link, encoder)
    assert link.is_symlink() and Manifest.load(real).domains == Manifest.load(link).domains
    assert [path.name for path in real.parent.iterdir()] == ["real"] and beside(link) == []


def test_a_swap_at_any_moment_gives_one_build_or_the_other(
    built: Built, encoder: Encoder, write_corpus: CorpusMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build ends while a reader opens the index, between any two of its collections."""
    index, _, _ = built
    original = EdgeStore.read.__func__  # type: ignore[attr-defined]
    turns = [write_corpus(few_records()[1:])]

    def read(cls: type[EdgeStore], path: Path, dimension: int) -> EdgeStore:
        opened: EdgeStore = original(cls, path, dimension)
        if turns:
            build_index(turns.pop(), index, encoder, prune=True)
        return opened

    monkeypatch.setattr(EdgeStore, "read", classmethod(read))
    with pytest.warns(RuntimeWarning, match="stays on disk"), Index.open(index) as opened:
        assert len(ids(opened)) == sum(opened.manifest.domains.values()) == 39
        assert opened.manifest == Manifest.load(index)
    assert beside(index) == []
