"""The folder as a whole: what may become an index, and how a rebuilt one takes an old one's place."""

from pathlib import Path

import numpy as np
import pytest

from indexing import BuildReport, Encoder, Index, Manifest, build_index
from tests.indexing.conftest import CorpusMaker
from tests.indexing.few import few_records
from titrate import InputError

Built = tuple[Path, Path, BuildReport]


def test_a_folder_of_something_else_is_refused(tmp_path: Path, encoder: Encoder, write_corpus: CorpusMaker) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").touch()
    with pytest.raises(InputError, match="neither empty nor an index"):
        build_index(write_corpus([]), tmp_path / "home", encoder)
    assert [entry.name for entry in (tmp_path / "home").iterdir()] == ["letter.txt"]


def test_rebuild_takes_another_encoder_and_swaps_at_the_end(
    built: Built, encoder: Encoder, other_encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, corpus, _ = built
    before = Manifest.load(index)
    with pytest.raises(InputError, match="--rebuild"):
        build_index(corpus, index, other_encoder)
    with monkeypatch.context() as patch:
        patch.setattr("indexing.building.finish.Manifest.save", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            build_index(corpus, index, other_encoder, rebuild=True)
    assert Manifest.load(index) == before, "the old index serves until the new one is whole"
    report = build_index(corpus, index, other_encoder, rebuild=True)
    assert (report.embedded, report.unchanged) == (0, 40), "an interrupted rebuild is taken up again"
    assert Manifest.load(index).encoder_fingerprint == other_encoder.fingerprint
    # An interrupted rebuild to one encoder does not mix with a rebuild to another.
    with monkeypatch.context() as patch:
        patch.setattr("indexing.building.finish.Manifest.save", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            build_index(corpus, index, encoder, rebuild=True)
    assert build_index(corpus, index, other_encoder, rebuild=True).embedded == 40
    assert [path.name for path in index.parent.iterdir() if path.name.startswith(".index")] == []


def test_a_rebuild_leaves_readers_alone_and_a_cut_off_swap_is_mended(
    built: Built, encoder: Encoder, other_encoder: Encoder
) -> None:
    index, corpus, _ = built
    with Index.open(index) as old, pytest.warns(RuntimeWarning, match="stays on disk"):
        build_index(corpus, index, other_encoder, rebuild=True)
        assert len(old.search("pathology", np.ones((1, 16), np.float32), 30)[0]) == 20
        assert old.manifest.encoder_fingerprint == encoder.fingerprint
    index.rename(index.with_name(f".{index.name}.old"))  # as a kill between the swap's two renames leaves it
    with pytest.raises(InputError, match=r"rebuild of .* was cut off"):
        Index.open(index)
    assert build_index(corpus, index, other_encoder).unchanged == 40
    Index.open(index).close()


def test_an_interrupted_update_leaves_the_index_and_goes_on(
    built: Built, encoder: Encoder, write_corpus: CorpusMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, _, _ = built
    before, records = Manifest.load(index), few_records()
    more = write_corpus([dict(record, id=f"{record['id']}-again") for record in records])
    for broken in ("indexing.building.finish.Manifest.save", "indexing.folder.beside._swap"):
        with monkeypatch.context() as patch:
            patch.setattr(broken, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                build_index(more, index, encoder)
        assert Manifest.load(index) == before
        with Index.open(index) as opened:
            assert sum(opened.manifest.domains.values()) == 40
    report = build_index(more, index, encoder)
    assert (report.embedded, report.unchanged, sum(report.counts.values())) == (0, 40, 80)
    assert [path.name for path in index.parent.iterdir() if path.name.startswith(".index")] == []
    # What was begun on an index that was replaced since is not taken up.
    with monkeypatch.context() as patch:
        patch.setattr("indexing.building.finish.Manifest.save", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            build_index(write_corpus(records[:5]), index, encoder, prune=True)
    build_index(write_corpus(records), index, encoder, rebuild=True)
    assert sum(build_index(write_corpus(records), index, encoder).counts.values()) == 40


def test_an_update_that_fails_leaves_no_copy(built: Built, other_encoder: Encoder) -> None:
    index, corpus, _ = built
    with pytest.raises(InputError, match="--rebuild"):
        build_index(corpus, index, other_encoder)
    assert [path.name for path in index.parent.iterdir() if path.name.startswith(".index")] == []


@pytest.mark.parametrize("name", [".index.updated", ".index.building", "index/collections"])
def test_nothing_is_written_through_a_link(built: Built, encoder: Encoder, name: str, tmp_path: Path) -> None:
    """Somebody who may write beside an index leads what a build writes to a folder of theirs."""
    index, corpus, _ = built
    theirs, path = tmp_path / "theirs", index.parent / name
    if path.exists():
        path.rename(theirs)
    elif name == ".index.updated":
        theirs.mkdir()
    path.symlink_to(theirs)
    before = sorted(theirs.rglob("*"))
    with pytest.raises(InputError, match=r"put there by somebody else|symbolic link|cannot write"):
        build_index(corpus, index, encoder)
    assert sorted(theirs.rglob("*")) == before
