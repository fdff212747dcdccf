"""A build that comes to nothing leaves no collection behind on a server, and touches nobody else's."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from qdrant_client import QdrantClient

from cli import main
from indexing import BuildReport, Encoder, Manifest, StoreSettings, build_index, index_info
from indexing.stores.server import ServerBackend, ServerStore
from tests.indexing.conftest import CorpusMaker
from tests.indexing.loopback import loopback
from tests.indexing.tiny import make_encoder
from titrate import TitrateError

pytestmark = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact"),
]
KEY = "a-secret-key"
Built = tuple[Path, Path, BuildReport]


@pytest.fixture
def server() -> Iterator[str]:
    with loopback() as (url, _):
        yield url


def collections(url: str) -> set[str]:
    client = QdrantClient(url=url, check_compatibility=False)
    names = {each.name for each in client.get_collections().collections}
    client.close()
    return names


def fail(*_: object) -> None:
    raise TitrateError("the server's disk is full")


def test_a_first_try_that_fails(
    tmp_path: Path, server: str, built: Built, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, store = built[1], StoreSettings(server)
    build_index(corpus, tmp_path / "neighbour", encoder, store=store)
    theirs = collections(server)
    assert len(theirs) == 2
    with monkeypatch.context() as patch:
        patch.setattr(ServerStore, "_write", fail)
        with pytest.raises(TitrateError, match="disk is full"):
            build_index(corpus, tmp_path / "served", encoder, store=store)
    assert collections(server) == theirs and not (tmp_path / "served").exists()
    # An index that holds something keeps it, however a later build ends.
    build_index(corpus, tmp_path / "served", encoder, store=store)
    everything = collections(server)
    assert len(everything) == 4
    with monkeypatch.context() as patch:
        patch.setattr("indexing.building.build.finish_index", fail)
        with pytest.raises(TitrateError, match="disk is full"):
            build_index(corpus, tmp_path / "served", encoder)
    assert collections(server) == everything
    assert build_index(corpus, tmp_path / "served", encoder).unchanged == 40


def test_a_server_that_is_gone_is_cleared_by_the_next_build(
    tmp_path: Path, server: str, built: Built, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its collections cannot be dropped then; the folder stays, which knows them, and the next build goes on there."""
    index = tmp_path / "served"
    with monkeypatch.context() as patch:
        patch.setattr(ServerStore, "_write", fail)
        patch.setattr(ServerBackend, "drop_all", fail)
        with pytest.raises(TitrateError, match="disk is full"):
            build_index(built[1], index, encoder, store=StoreSettings(server))
    left = collections(server)
    assert left and index.exists()
    assert build_index(built[1], index, encoder).embedded == 40
    assert collections(server) >= left and len(collections(server)) == 2
    # A mistyped address, on the other hand, has nothing: the folder goes.
    with pytest.raises(TitrateError, match="cannot reach"):
        build_index(built[1], tmp_path / "typo", encoder, store=StoreSettings("http://127.0.0.1:9"))
    assert not (tmp_path / "typo").exists()


def test_an_interrupted_rebuild_to_something_else(
    tmp_path: Path, server: str, built: Built, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, corpus, _ = built
    other = Encoder.open(f"local-dir:{make_encoder(tmp_path / 'other', seed=2)}", device="cpu")
    build_index(corpus, tmp_path / "neighbour", encoder, store=StoreSettings(server))
    theirs = collections(server)
    with monkeypatch.context() as patch:
        patch.setattr("indexing.building.finish.Manifest.save", fail)
        with pytest.raises(TitrateError, match="disk is full"):
            build_index(corpus, index, encoder, store=StoreSettings(server), rebuild=True)
    assert len(collections(server) - theirs) == 2, "it would have been taken up again"
    with monkeypatch.context() as patch:
        patch.setattr(ServerBackend, "drop_all", fail)
        with pytest.raises(TitrateError, match=r"disk is full; or delete .*rebuilt and leave its collections"):
            build_index(corpus, index, other, rebuild=True)
    assert build_index(corpus, index, other, rebuild=True).embedded == 40
    assert collections(server) == theirs
    assert Manifest.load(index).store.url is None


def test_the_command_line_names_the_server_and_never_the_key(
    tmp_path: Path,
    server: str,
    encoder_folder: Path,
    samples: list[dict[str, Any]],
    write_corpus: CorpusMaker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TITRATE_API_KEY", KEY)
    folder, corpus = tmp_path / "served", write_corpus(samples[:5])
    words = ["index", corpus, "--index", folder, "--encoder", f"local-dir:{encoder_folder}", "--device", "cpu"]
    made = CliRunner().invoke(main, [*map(str, words), "--url", server], catch_exceptions=False)
    again = CliRunner().invoke(main, [*map(str, words)], catch_exceptions=False)
    shown = CliRunner().invoke(main, ["info", "--index", str(folder)], catch_exceptions=False)
    value = CliRunner().invoke(main, ["info", "--index", str(folder), "--json"], catch_exceptions=False)
    assert f"the index holds pathology 5 on {server}" in made.stdout
    assert f"0 skipped; the index holds pathology 5 on {server}" in again.stdout
    assert f"at {server}, not told by the server" in shown.stdout
    assert json.loads(value.stdout)["location"] == server == index_info(folder, KEY).location
    for result in (made, again, shown, value):
        assert KEY not in result.output + result.stderr
