"""Models by their names on the hub: from the local cache, with a hub that is down, and with one that never answers."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants
from PIL import Image

from rag import Prompt, TransformersMLLM
from titrate import InputError, fetch_model

COMMIT, OTHER = "a" * 40, "b" * 40


def put(cache: Path, name: str, commit: str, files: Path, branch: str = "main") -> Path:
    """Lay files out as the hub's client does in its cache."""
    kept = cache / f"models--{name.replace('/', '--')}"
    (kept / "refs").mkdir(parents=True, exist_ok=True)
    (kept / "refs" / branch).write_text(commit)
    return Path(shutil.copytree(files, kept / "snapshots" / commit))


@pytest.fixture
def cached(tiny_folder: Path) -> Iterator[Path]:
    cache = Path(constants.HF_HUB_CACHE)
    snapshot = put(cache, "owner/tiny", COMMIT, tiny_folder)
    yield snapshot
    shutil.rmtree(cache / "models--owner--tiny")


def test_a_name_opens_and_answers_as_the_folder_does(
    cached: Path, tiny: TransformersMLLM, pictures: list[Image.Image]
) -> None:
    opened = TransformersMLLM.open("owner/tiny", device="cpu")
    prompt, options = Prompt(pictures[0], "Is it?"), ["yes", "no"]
    assert opened.score([prompt], [options])[0] == pytest.approx(tiny.score([prompt], [options])[0], abs=1e-6)
    assert opened.folders == {"the model": cached}, "where `trained_on.json` is looked for"


def test_the_fingerprint_is_of_the_commit(cached: Path, tiny_folder: Path) -> None:
    put(Path(constants.HF_HUB_CACHE), "owner/tiny", OTHER, tiny_folder, branch="v2")
    main, second = (TransformersMLLM.open(f"owner/tiny{at}", device="cpu").fingerprint for at in ("", "@v2"))
    by_commit = TransformersMLLM.open(f"owner/tiny@{COMMIT}", device="cpu").fingerprint
    assert main != second
    assert main == by_commit


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("owner/absent", "HF_HUB_OFFLINE is set, and its config.json is not in the local cache; download it"),
        ("owner/tiny@v9", "its config.json is not in the local cache"),
        ("owner/../tiny", "no name on the hub|no model in"),
        ("owner/tiny@../../etc", "is no name on the hub"),
    ],
)
def test_what_is_not_there_is_refused_with_what_to_do(cached: Path, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        TransformersMLLM.open(name, device="cpu")
    assert "\n" not in str(caught.value)


def test_a_download_that_was_cut_off_is_named(cached: Path) -> None:
    (cached / "model.safetensors").unlink()
    (cached / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "model-1.safetensors"}}))
    with pytest.raises(InputError, match=r"its model-1\.safetensors is not in the local cache"):
        fetch_model("owner/tiny")


def test_a_model_of_the_hub_names_no_code_elsewhere(cached: Path) -> None:
    config = cached / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "attn_implementation": "owner/kernel"}))
    with pytest.raises(InputError, match="names code elsewhere"):
        TransformersMLLM.open("owner/tiny", device="cpu")


@pytest.mark.parametrize("file", ["../other/model.safetensors", "/etc/model.safetensors", 7])
def test_shards_lie_beside_their_list(cached: Path, file: object) -> None:
    (cached / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": file}}))
    with pytest.raises(InputError, match=r"model\.safetensors\.index\.json names .*, which lies in another folder"):
        fetch_model("owner/tiny")


@pytest.mark.parametrize("answers", [True, False], ids=["never answers", "is down"])
@pytest.mark.parametrize("name", ["owner/tiny", "owner/absent"])
def test_a_hub_out_of_reach_costs_seconds(
    tiny_folder: Path, tmp_path: Path, repository: Path, answers: bool, name: str
) -> None:
    put(tmp_path / "hub", "owner/tiny", COMMIT, tiny_folder)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if answers:
            server.listen()  # and accepts no connection
        code = (
            "import time, transformers.utils.hub; from titrate import fetch_model; began = time.monotonic()\n"
            f"try: print(fetch_model({name!r})[1])\nexcept Exception as error: print(type(error).__name__, error)\n"
            "print(time.monotonic() - began)"
        )
        surrounding = {
            **{key: value for key, value in os.environ.items() if key not in ("HF_HUB_OFFLINE", "HF_HUB_CACHE")},
            "HF_HOME": str(tmp_path),
            "HF_ENDPOINT": f"http://127.0.0.1:{server.getsockname()[1]}",
        }
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=repository, env=surrounding, capture_output=True, text=True, timeout=100
        )
        assert time.monotonic() - began < 90
    said, seconds = done.stdout.strip().splitlines()
    assert float(seconds) < 5
    if name == "owner/tiny":
        assert said == COMMIT
    else:
        assert said.startswith("InputError cannot load model owner/absent: the hub ")
        assert "hf download owner/absent --local-dir FOLDER" in said
