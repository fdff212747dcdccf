"""Builds that die: killed, out of disk space, interrupted. What the next build ends in is what counts."""

import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from indexing import Encoder, Index, Manifest, Record, build_index
from indexing.stores.points import VECTOR_NAMES
from tests.indexing.few import few_records, write_corpus_to
from tests.indexing.tiny import make_encoder
from titrate import InputError, TitrateError

KILLS = 30
INTERRUPTS, ATTEMPTS, UPDATES_KILLED = 5, 20, 10

# Children fork from a server that has imported everything once, and so begin in a moment.
FORK = multiprocessing.get_context("forkserver")
FORK.set_forkserver_preload(["indexing.building.build", "indexing.index", "sklearn.linear_model", "sklearn.covariance"])


def build(corpus: Path, index: Path, encoder: str, batch: int) -> None:
    """Run in a child: a build in many small steps, so that a kill can fall between any two."""
    import indexing.building.embedding

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would ignore it
    indexing.building.embedding.BATCH = batch
    build_index(corpus, index, Encoder.open(encoder, device="cpu"))


def child(corpus: Path, index: Path, encoder: Encoder, batch: int = 4) -> BaseProcess:
    process = FORK.Process(target=build, args=(corpus, index, encoder.id, batch))
    process.start()
    return process


def contents(index: Path) -> dict[str, tuple[Record, dict[str, list[float]]]]:
    """Every record of an index, with the cosines of its vectors to fixed directions in the place of the vectors."""
    probes = np.random.default_rng(0).standard_normal((8, 16)).astype(np.float32)
    found: dict[str, tuple[Record, dict[str, list[float]]]] = {}
    with Index.open(index) as opened:
        for domain, number in opened.manifest.domains.items():
            for using in VECTOR_NAMES:
                for matches in opened.search(domain, probes, number + 10, using=using):
                    assert len(matches) == number
                    for match in matches:
                        _, cosines = found.setdefault(match.record.id, (match.record, {}))
                        cosines.setdefault(using, []).append(match.similarity)
    return found


def assert_same(index: Path, expected: Path) -> None:
    """Check for the same records and, but for the rounding that depends on what was embedded together, vectors."""
    held, wanted = contents(index), contents(expected)
    assert held.keys() == wanted.keys()
    for name, (record, cosines) in held.items():
        assert record == wanted[name][0]
        for using in VECTOR_NAMES:
            np.testing.assert_allclose(cosines[using], wanted[name][1][using], atol=1e-4)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    folder = make_encoder(tmp_path_factory.mktemp("encoder"), seed=1)
    return Encoder.open(f"local-dir:{folder}", device="cpu")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Every record twice, the second time without a domain, so that there are three collections and many batches."""
    records = few_records()
    again = [dict(record, id=record["id"] + "-again", domain=None) for record in records]
    return write_corpus_to(tmp_path / "corpus", records + again)


@pytest.mark.slow
def test_killed_at_thirty_random_moments_and_resumed(tmp_path: Path, encoder: Encoder, corpus: Path) -> None:
    expected, index = tmp_path / "expected", tmp_path / "index"
    child(corpus, tmp_path / "warm", encoder).join()
    started = time.monotonic()
    whole = child(corpus, expected, encoder)
    whole.join()
    assert whole.exitcode == 0
    duration = time.monotonic() - started
    chance, killed = random.Random(3), 0
    while killed < KILLS:
        process = child(corpus, index, encoder)
        process.join(chance.uniform(0, duration))
        if process.is_alive():
            process.kill()
            process.join()
            killed += 1
        else:
            shutil.rmtree(index)  # it came to its end before its time was up: begin anew
        if not (index / "manifest.json").exists():
            with pytest.raises(InputError, match=r"unfinished|no index"):
                Index.open(index)
    build_index(corpus, index, encoder)
    assert_same(index, expected)
    left, right = (
        replace(Manifest.load(folder), classifier="", detector="", records="", files={}) for folder in (index, expected)
    )
    assert left == right


@pytest.mark.slow
def test_ctrl_c_ends_a_build_and_the_next_completes_it(tmp_path: Path, encoder: Encoder, corpus: Path) -> None:
    index, chance, interrupted = tmp_path / "index", random.Random(4), 0
    for _ in range(ATTEMPTS):
        if interrupted == INTERRUPTS:
            break
        process = child(corpus, index, encoder, batch=1)  # slow, so that there is time to interrupt it
        while process.is_alive() and not (index / "collections").exists():
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.2))
        assert process.pid is not None
        os.kill(process.pid, signal.SIGINT)
        process.join()
        if process.exitcode == 0:
            shutil.rmtree(index)  # it was too late: begin anew
            continue
        assert process.exitcode == 1, "KeyboardInterrupt"
        interrupted += 1
    assert interrupted == INTERRUPTS, "interruptions get lost"
    build_index(corpus, index, encoder)
    build_index(corpus, tmp_path / "expected", encoder)
    assert_same(index, tmp_path / "expected")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with little more room than a build insists on."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=67m", "none", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system needs rights that this user lacks")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_reported_and_room_mends_it(
    tmp_path: Path, small_disk: Path, encoder: Encoder, corpus: Path
) -> None:
    index = small_disk / "index"
    with pytest.raises(TitrateError, match=r"free some, run again"):
        build_index(corpus, index, encoder)
    subprocess.run(["mount", "-o", "remount,size=512m", str(small_disk)], check=True)
    build_index(corpus, index, encoder)
    build_index(corpus, tmp_path / "expected", encoder)
    assert_same(index, tmp_path / "expected")


def test_two_builds_at_once(tmp_path: Path, encoder: Encoder, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused: list[str] = []
    original = Encoder.embed_pixels

    def second_build(self: Encoder, pixels: Any) -> Any:
        with pytest.raises(InputError) as error:
            build_index(corpus, tmp_path / "index", encoder)
        refused.append(str(error.value))
        return original(self, pixels)

    with monkeypatch.context() as patch:
        patch.setattr(Encoder, "embed_pixels", second_build)
        build_index(corpus, tmp_path / "index", encoder)
    assert refused and all("busy: another process is building or using it" in line for line in refused)
    assert build_index(corpus, tmp_path / "index", encoder).unchanged == 80


def smaller(corpus: Path) -> Path:
    """A corpus of every other record, beside the whole one, whose images it uses."""
    path = corpus.with_name("smaller.jsonl")
    path.write_text("".join(corpus.read_text().splitlines(keepends=True)[::2]))
    return path


def test_a_process_reads_while_another_builds(tmp_path: Path, encoder: Encoder, corpus: Path) -> None:
    """Every opening gives the index of one build, whole, and the build waits for none of them."""
    index = tmp_path / "index"
    build_index(smaller(corpus), index, encoder)
    before = contents(index)
    process = child(corpus, index, encoder)
    openings = 0
    while process.is_alive():
        held = contents(index)
        assert len(held) in (len(before), 80)
        openings += len(held) == len(before)
        with Index.open(index) as opened:
            assert len(opened.copies([bytes(32)])) == 1
    process.join()
    assert process.exitcode == 0 and openings, "it was read before the build ended"
    assert len(contents(index)) == 80
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_reader_that_closes_late_changes_nothing(tmp_path: Path, encoder: Encoder, corpus: Path) -> None:
    """The engine writes files by name when it closes: the index that has the name by now is another."""
    index = tmp_path / "index"
    build_index(smaller(corpus), index, encoder)
    with Index.open(index) as opened:
        few = sum(opened.manifest.domains.values())
        build_index(corpus, index, encoder)
    with Index.open(index) as opened:
        assert few < opened.verify() == 80


@pytest.mark.slow
def test_killed_updates_leave_the_index_readable(tmp_path: Path, encoder: Encoder, corpus: Path) -> None:
    index, chance, killed = tmp_path / "index", random.Random(5), 0
    build_index(smaller(corpus), index, encoder)
    few = len(contents(index))
    started = time.monotonic()
    shutil.copytree(index, tmp_path / "copy")
    child(corpus, tmp_path / "copy", encoder).join()
    duration = time.monotonic() - started
    while killed < UPDATES_KILLED:
        process = child(corpus, index, encoder)
        process.join(chance.uniform(0, duration))
        if process.is_alive():
            process.kill()
            process.join()
            killed += 1
        held = len(contents(index))
        assert held in (few, 80), "one build or the other, and never unfinished"
        if held == 80:
            shutil.rmtree(index)
            build_index(corpus.with_name("smaller.jsonl"), index, encoder)
    build_index(corpus, index, encoder)
    build_index(corpus, tmp_path / "expected", encoder)
    assert_same(index, tmp_path / "expected")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
