"""The folder as a whole: what may become an index, and how a rebuilt one takes an old one's place."""

from pathlib import Path

import pytest

from indexing import BuildReport, Encoder, Index, Manifest, build_index
from tests.indexing.conftest import CorpusMaker
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


def test_rebuild_waits_for_readers_and_a_cut_off_swap_is_mended(
    built: Built, encoder: Encoder, other_encoder: Encoder
) -> None:
    index, corpus, _ = built
    with Index.open(index), pytest.raises(InputError, match="busy"):
        build_index(corpus, index, other_encoder, rebuild=True)
    index.rename(index.with_name(f".{index.name}.old"))  # as a kill between the swap's two renames leaves it
    with pytest.raises(InputError, match=r"rebuild of .* was cut off"):
        Index.open(index)
    assert build_index(corpus, index, encoder).unchanged == 40
    Index.open(index).close()
