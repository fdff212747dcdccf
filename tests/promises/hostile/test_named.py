"""What only an index names is not followed: no encoder is loaded, no server is called and no key is sent.

The state of a machine is a folder here: another folder is another machine, or another user.
"""

import json
import shutil
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from PIL import Image

from indexing import Encoder, Index, build_index
from rag import SystemOptions
from tests.command_line import Run, refused
from tests.indexing.tiny import make_encoder
from titrate import InputError, TitrateWarning, check_named, hash_json, note_named

KEY = "a-key-of-the-hospital"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Give a small index that another user made, and the folder of its encoder."""
    folder = tmp_path_factory.mktemp("made")
    encoder = make_encoder(folder / "encoder", seed=1)
    with (folder / "corpus.jsonl").open("w") as corpus:
        for number in range(6):
            Image.new("RGB", (40, 40), (40 * number, 99, 9)).save(folder / f"{number}.png")
            record = {"id": str(number), "image": f"{number}.png", "report": f"lesion of {number} mm"}
            corpus.write(json.dumps({**record, "patient": str(number), "domain": "general"}) + "\n")
    build_index(folder / "corpus.jsonl", folder / "index", Encoder.open(f"local-dir:{encoder}", "cpu"))
    return folder / "index", encoder


@pytest.fixture
def index(made: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a copy of it on a machine where nothing was named."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return Path(shutil.copytree(made[0], tmp_path / "index"))


@pytest.fixture
def calls() -> Iterator[tuple[str, list[str | None]]]:
    """Give the address of a server, and a list that gets the key of every request."""
    keys: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            keys.append(self.headers["api-key"])
            self.send_response(404)
            self.end_headers()

        do_POST = do_PUT = do_DELETE = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", keys
    server.shutdown()
    server.server_close()


def moved(index: Path, url: str) -> None:
    """Have the manifest say that the vectors are on a server."""
    manifest = json.loads((index / "manifest.json").read_text())
    del manifest["digest"]
    manifest["store"] = {**manifest["store"], "url": url, "prefix": "titrate0"}
    (index / "manifest.json").write_text(json.dumps({**manifest, "digest": hash_json(manifest)}))


def test_an_encoder_that_only_the_index_names(index: Path, made: tuple[Path, Path]) -> None:
    own = f"local-dir:{made[1]}"
    with pytest.raises(InputError, match=r"names the encoder local-dir:.*give --encoder local-dir:"):
        SystemOptions(index).check()
    SystemOptions(index, encoder=own).check()
    with pytest.raises(InputError, match="--encoder"):  # to name it is one thing, to load it another
        SystemOptions(index).check()
    Encoder.open(own, "cpu")
    SystemOptions(index).check()


def test_who_built_an_index_need_not_name_its_encoder_again(
    run: Run, index: Path, made: tuple[Path, Path], tmp_path: Path
) -> None:
    corpus = made[0].parent / "corpus.jsonl"
    refused(run("index", corpus, "--index", index), "--encoder")
    assert run("index", corpus, "--index", tmp_path / "new", "--encoder", f"local-dir:{made[1]}").exit_code == 0
    assert run("index", corpus, "--index", tmp_path / "new").exit_code == 0
    SystemOptions(tmp_path / "new").check()
    SystemOptions(index).check()
    notes = list((tmp_path / "state/titrate/named").iterdir())
    assert [note.stat().st_size for note in notes] == [0] and "encoder" not in notes[0].name


def test_a_server_that_only_the_index_names(
    run: Run, index: Path, calls: tuple[str, list[str | None]], monkeypatch: pytest.MonkeyPatch, made: tuple[Path, Path]
) -> None:
    url, keys = calls
    moved(index, url)
    monkeypatch.setenv("TITRATE_API_KEY", KEY)
    refused(run("info", "--index", index), "names the Qdrant server", f"--url {url}")
    asked = ["ask", "chest.png", "?", "--k", 0, "--mllm", "http://127.0.0.1:1/v1#m", "--index", index]
    Path("chest.png").write_bytes((made[0].parent / "0.png").read_bytes())
    refused(run(*asked, "--encoder", f"local-dir:{made[1]}"), f"--url {url}")
    with pytest.raises(InputError, match="--url"):
        Index.open(index, KEY)
    assert keys == []
    assert run("info", "--index", index, "--url", url + "/").exit_code == 1  # it is no Qdrant
    assert set(keys) == {KEY}
    assert run("info", "--index", index).exit_code == 1  # named before


def test_another_server_than_the_index_has(run: Run, index: Path, calls: tuple[str, list[str | None]]) -> None:
    refused(run("info", "--index", index, "--url", calls[0]), "in its folder", "leave out --url")
    moved(index, "http://127.0.0.1:1")
    refused(run("info", "--index", index, "--url", calls[0]), "http://127.0.0.1:1, not on", "leave out --url")
    assert calls[1] == []


def test_a_settings_file_found_by_chance_names_no_server(
    run: Run, index: Path, calls: tuple[str, list[str | None]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TITRATE_API_KEY", KEY)
    monkeypatch.setenv("TITRATE_MLLM_API_KEY", KEY)
    moved(index, calls[0])
    (tmp_path / "titrate.toml").write_text(f"[info]\nurl = '{calls[0]}'\n")
    refused(run("info", "--index", index), "--config titrate.toml")
    (tmp_path / "titrate.toml").write_text(f"[ask]\nmllm = '{calls[0]}/v1#m'\n")
    refused(run("ask", "chest.png", "?", "--k", 0, "--index", index), "--config titrate.toml")
    assert calls[1] == []


def test_where_nothing_can_be_noted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with pytest.warns(TitrateWarning, match="name it again next time"):
        note_named("hf-hub:a/b")
    with pytest.raises(InputError, match="--encoder hf-hub:a/b"):
        check_named("encoder", "hf-hub:a/b", "--encoder")
