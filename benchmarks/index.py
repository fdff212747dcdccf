"""How fast an index is built, and in how much memory (`make bench-index`).

    python -m benchmarks.index [--sizes 1000,10000,100000]

Speed: images per second of `build_index` over the samples, beside a bare loop (decode and preprocess in as many
threads, encode in batches as large, keep nothing) and LlamaIndex's `MultiModalVectorStoreIndex` with the same encoder.
The three take turns, and each counts by its best of three rounds, in a process of its own.

Memory: the peak of builds of 1k, 10k and 100k records with made-up embeddings of 512 numbers, a process each.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from indexing import CorpusOptions, Encoder, Record, build_index, load_image, open_corpus
from indexing.building.embedding import BATCH
from indexing.building.reader import THREADS

SAMPLES = Path(__file__).parent.parent / "samples"
ROUNDS, SEED, DIMENSION = 3, 5, 512


def bare_loop(records: list[Record], encoder: Encoder) -> None:
    """Decode, preprocess and encode; the embeddings are thrown away."""
    with ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, len(records), BATCH):
            batch = records[start : start + BATCH]
            pixels = list(pool.map(lambda record: encoder.preprocess(load_image(SAMPLES / record.image)), batch))
            encoder.embed_pixels(torch.stack(pixels))
            encoder.embed_texts([record.report for record in batch])


def whole_build(records: list[Record], encoder: Encoder) -> None:
    """Build a whole index, ready to be searched."""
    with tempfile.TemporaryDirectory() as folder:
        report = build_index(SAMPLES / "corpus.jsonl", Path(folder) / "index", encoder, CorpusOptions(split=None))
    assert report.embedded == len(records)


def llama_index(records: list[Record], encoder: Encoder) -> None:
    """Build LlamaIndex's own index of images and texts, in its in-memory store."""
    from llama_index.core.indices import MultiModalVectorStoreIndex
    from llama_index.core.schema import ImageNode

    nodes = [ImageNode(id_=record.id, text=record.report, image_path=str(SAMPLES / record.image)) for record in records]
    encoder.embed_batch_size = BATCH
    MultiModalVectorStoreIndex(nodes=nodes, embed_model=encoder, image_embed_model=encoder)


WAYS = {"bare loop": bare_loop, "titrate": whole_build, "LlamaIndex": llama_index}


class SyntheticEncoder(Encoder):
    """Made-up unit vectors, so that only the build itself takes time and memory."""

    def __init__(self) -> None:
        super().__init__(model_name="synthetic")
        self._dimension = DIMENSION

    @property
    def fingerprint(self) -> str:
        """Of nothing."""
        return "synthetic"

    @property
    def logit_scale(self) -> float:
        """As CLIP's."""
        return 100.0

    @property
    def logit_bias(self) -> None:
        """As CLIP's."""

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        """Nothing of the image but its first pixel."""
        return torch.tensor(image.getpixel((0, 0)), dtype=torch.float32)

    def embed_pixels(self, pixels: Sequence[Any] | torch.Tensor) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Random directions."""
        return self._vectors(len(pixels))

    def embed_texts(self, texts: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Random directions."""
        return self._vectors(len(texts))

    def cut_texts(self, texts: Any) -> int:
        """None are read."""
        return 0

    def _vectors(self, count: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        rows = np.random.default_rng(SEED).standard_normal((count, DIMENSION), np.float32)
        unit: np.ndarray[Any, np.dtype[np.float32]] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return unit


def measure_speed(way: str) -> None:
    """Print images per second of one way."""
    encoder = Encoder.open(f"local-dir:{SAMPLES / 'models/encoder'}", "cpu")
    records = [record for record in open_corpus(SAMPLES / "corpus.jsonl") if isinstance(record, Record)]
    bare_loop(records[: 2 * BATCH], encoder)  # warm
    begun = time.perf_counter()
    WAYS[way](records, encoder)
    print(len(records) / (time.perf_counter() - begun))


def measure_memory(size: int) -> None:
    """Print seconds and the peak memory of one build, in MiB: its own, and with the files that it has mapped.

    Edge maps its files of vectors into memory; the system keeps as many of their pages there as it has room for, and
    takes them back when it has not. What must not grow is the rest.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        Image.new("RGB", (8, 8)).save(folder / "one.png")
        with (folder / "corpus.jsonl").open("w") as file:
            for number in range(size):
                record = {"id": f"r{number}", "image": "one.png", "report": "None.", "domain": f"domain {number % 4}"}
                file.write(json.dumps(record) + "\n")
        encoder, own, over = SyntheticEncoder(), [0], threading.Event()
        watch = threading.Thread(target=_watch, args=(own, over))
        watch.start()
        begun = time.perf_counter()
        build_index(folder / "corpus.jsonl", folder / "index", encoder)
        took = time.perf_counter() - begun
    over.set()
    watch.join()
    print(took, own[0] / 1024, _status("VmHWM") / 1024)


def _watch(own: list[int], over: threading.Event) -> None:
    """Keep the largest anonymous memory, in KiB, until told that it is over."""
    while not over.wait(0.02):
        own[0] = max(own[0], _status("RssAnon"))


def _status(name: str) -> int:
    """A number of this process, in KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def child(*words: str) -> list[float]:
    """What a process of its own printed."""
    run = subprocess.run([sys.executable, "-m", "benchmarks.index", *words], capture_output=True, text=True, check=True)
    return [float(word) for word in run.stdout.split()]


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1000,10000,100000")
    parser.add_argument("--out", type=Path, default=Path("bench/index.json"))
    parser.add_argument("--speed", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--memory", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.speed:
        measure_speed(given.speed)
        return
    if given.memory:
        measure_memory(given.memory)
        return
    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(ROUNDS):
        for way in WAYS:
            rates[way] += child("--speed", way)
    best = {way: max(values) for way, values in rates.items()}
    print(f"{'images per second':<28}{'best':>8}{'of bare':>9}   all rounds")
    for way, values in rates.items():
        every = " ".join(f"{value:.0f}" for value in values)
        print(f"{way:<28}{best[way]:>8.1f}{best[way] / best['bare loop']:>9.2f}   {every}", flush=True)
    print(f"\n{'records':<12}{'seconds':>9}{'records/s':>11}{'peak MiB':>10}{'of first':>10}{'with mapped files':>19}")
    peaks = {}
    for size in map(int, given.sizes.split(",")):
        seconds, peak, mapped = child("--memory", str(size))
        peaks[size] = {"seconds": seconds, "peak_mib": peak, "with_mapped_files_mib": mapped}
        ratio = peak / next(iter(peaks.values()))["peak_mib"]
        print(f"{size:<12}{seconds:>9.1f}{size / seconds:>11.0f}{peak:>10.0f}{ratio:>10.2f}{mapped:>19.0f}", flush=True)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps({"images_per_second": rates, "memory": peaks}, indent=1) + "\n")


if __name__ == "__main__":
    main()
