"""One surrounding for every test: no network, no model hub, no telemetry, no cache of the developer's, few threads."""

import fcntl
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from rag import TransformersMLLM
    from tests.command_line import Run

# The libraries read these when they are imported, so they are set before any test module is.
_CACHE = tempfile.TemporaryDirectory(prefix="titrate-tests-")
Path(_CACHE.name, "cache").mkdir()
Path(_CACHE.name, "cache/titrate").touch()  # no folder: a model that a test changes in memory must be checked again
os.environ.update(
    HF_HUB_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    HF_HOME=_CACHE.name,
    XDG_STATE_HOME=_CACHE.name,
    XDG_CACHE_HOME=f"{_CACHE.name}/cache",
    DO_NOT_TRACK="1",
    TOKENIZERS_PARALLELISM="false",
    TITRATE_DEBUG="1",  # what nobody foresaw fails the test that met it
    OMP_NUM_THREADS="1" if "PYTEST_XDIST_WORKER" in os.environ else str(min(2, os.cpu_count() or 1)),
)

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_unconfigure() -> None:
    """Remove the cache folder before the interpreter shuts down."""
    _CACHE.cleanup()


@pytest.fixture(autouse=True, scope="session")
def _no_network() -> Iterator[None]:
    """Refuse every connection that leaves this machine."""
    connect = socket.socket.connect

    def local_only(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test tried to reach {address[0]}")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", local_only)
        yield


@pytest.fixture(scope="session")
def repository() -> Path:
    """Give the root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def samples(repository: Path) -> Path:
    """Give the folder with the sample corpus, its questions and images, and the small models."""
    return repository / "samples"


@pytest.fixture(scope="session")
def index_folder(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an index of the sample corpus's train split, made with the shipped encoder, once for all test processes."""
    from indexing import Encoder, build_index
    from titrate import note_named

    base, name = tmp_path_factory.getbasetemp(), f"local-dir:{samples / 'models/encoder'}"
    place = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "samples-index"
    place.mkdir(exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process may be making it
        if not (place / "made").exists():
            build_index(samples / "corpus.jsonl", place / "index", Encoder.open(name, "cpu"))
            (place / "made").touch()
    note_named(name)  # by this process's user, who has a state folder of its own
    return place / "index"


@pytest.fixture(scope="session")
def mllm(samples: Path) -> "TransformersMLLM":
    """Give the shipped MLLM."""
    from rag import TransformersMLLM

    return TransformersMLLM.open(str(samples / "models/mllm"), device="cpu")


@pytest.fixture(scope="session")
def checked_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a cache folder for what opens models as they are on disk: each is checked once, as on a user's machine."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, checked_once: Path) -> "Run":
    """Give a function that runs a command line in an empty working directory."""
    from click.testing import CliRunner, Result

    from cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(checked_once))

    def invoke(*arguments: object) -> Result:
        return CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)

    return invoke
