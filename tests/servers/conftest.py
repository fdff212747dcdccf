"""Real servers on loopback, each in an environment of its own: `make test-servers`. Nothing of it is in `make test`."""

import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ENVIRONMENTS = os.environ.get("TITRATE_TEST_SERVERS")
"""The folder that `install.sh` made."""
_START_S = 300

# The scripts are run by other environments, whose packages this one lacks.
collect_ignore_glob = ["mend_vllm.py", "write_gguf.py"] if ENVIRONMENTS else ["*.py"]

Serve = Callable[..., "Running"]


class Running:
    """A server's process: it can be killed, and started anew at the same address."""

    def __init__(self, command: list[str], log: Path, ready: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self.folder = log.parent
        self._command, self._log, self._ready = command, log, ready
        self.start()

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.begin()
        for _ in range(2 * _START_S):
            assert self._process.poll() is None, self._log.read_text(errors="replace")[-3000:]
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{self._ready}", timeout=1):
                    return
            except OSError:
                time.sleep(0.5)
        raise AssertionError("the server did not start in time")

    def begin(self) -> None:
        """Start it."""
        words = [*self._command, "--host", "127.0.0.1", "--port", str(self.port)]
        quiet = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_NO_USAGE_STATS": "1"}
        (self.folder / "hf/hub").mkdir(parents=True, exist_ok=True)  # transformers' list of models fails without it
        quiet["HF_HOME"] = str(self.folder / "hf")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                words, stdout=log, stderr=log, env=os.environ | quiet, start_new_session=True, cwd=self._log.parent
            )

    def kill(self) -> None:
        """End it and its children at once."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, 9)
        self._process.wait()


@contextmanager
def running(command: list[str], log: Path, ready: str) -> Iterator[Running]:
    """A server for as long as the block lasts."""
    server = Running(command, log, ready)
    try:
        yield server
    finally:
        server.kill()


def program(environment: str, name: str) -> str:
    """A program of one of the environments."""
    path = Path(ENVIRONMENTS or "", environment, "bin", name).absolute()
    assert path.exists(), f"{path} is not there; run tests/servers/install.sh {ENVIRONMENTS}"
    return str(path)


def vllm_command(folder: Path, dtype: str = "float32") -> list[str]:
    """How vLLM's build for CPUs serves a model, under the name `small`."""
    limits = ["--max-model-len", "4096", "--max-num-seqs", "64", "--enforce-eager"]
    return [program("vllm", "vllm"), "serve", str(folder), "--served-model-name", "small", "--dtype", dtype, *limits]


@pytest.fixture(scope="module")
def vllm(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Give vLLM with the shipped model in float32."""
    folder = tmp_path_factory.mktemp("vllm")
    shutil.copytree(samples / "models/mllm", folder / "mllm")
    with running(vllm_command(folder / "mllm"), folder / "log", "/v1/models") as server:
        yield server
