"""Who may have an index open at the same time."""

from pathlib import Path

import pytest

from indexing import BuildReport, Encoder, Index, build_index
from indexing.folder.lock import lock_index
from titrate import InputError

Built = tuple[Path, Path, BuildReport]


def test_builds_and_readers_exclude_each_other(built: Built, encoder: Encoder) -> None:
    index, corpus, _ = built
    with Index.open(index), Index.open(index) as second:
        assert second.domains == ["pathology", "radiology"]
        with pytest.raises(InputError, match="busy: another process"):
            build_index(corpus, index, encoder)
    with lock_index(index, exclusive=True), pytest.raises(InputError, match="busy: it is being built"):
        Index.open(index)
    assert build_index(corpus, index, encoder).unchanged == 40
