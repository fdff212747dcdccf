"""Synthetic indexes: vectors of 256 Gaussian clusters of 32 intrinsic dimensions in 512, as embeddings lie."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from indexing import DomainClassifier, Manifest, NoveltyDetector, Point, Record, StoreSettings, VectorStore
from indexing.folder.contents import hash_file
from indexing.folder.fixed_settings import FixedSettings, settings_rows
from indexing.folder.ledger import Ledger
from indexing.folder.lock import LOCK
from indexing.folder.manifest import CLASSIFIER, LEDGER, NOVELTY
from indexing.images.view import AS_THE_FILE_SAYS
from indexing.stores.edge_backend import EdgeBackend
from titrate import hash_json, hash_patient

DIMENSION, INTRINSIC, CLUSTERS, CHUNK, SEED = 512, 32, 256, 5000, 0
OTHERS = 1000
"""Vectors of a second domain, so that there is something to route."""

Vectors = NDArray[np.float32]


class Mixture:
    """Seeded unit vectors, the same for the same chunk whatever the size of the whole."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng([SEED, seed])
        self._seed = seed
        self._centres = rng.normal(size=(CLUSTERS, INTRINSIC))
        self._basis = rng.normal(size=(INTRINSIC, DIMENSION)) / np.sqrt(INTRINSIC)
        self._mean = rng.normal(size=DIMENSION)  # domains lie apart, or no linear probe could route

    def draw(self, count: int, chunk: int) -> Vectors:
        """Unit rows float32 [count, d]."""
        rng = np.random.default_rng([SEED, self._seed, chunk])
        inner = self._centres[rng.integers(CLUSTERS, size=count)] + 0.6 * rng.normal(size=(count, INTRINSIC))
        rows = self._mean + inner @ self._basis + 0.05 * rng.normal(size=(count, DIMENSION))
        unit: Vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        return unit

    def chunks(self, count: int) -> Iterator[tuple[int, Vectors]]:
        """All ``count`` rows, 5,000 at a time, with the number of the first."""
        for start in range(0, count, CHUNK):
            yield start, self.draw(CHUNK, start // CHUNK)[: count - start]


def patient_of(number: int) -> str:
    """Two records a patient."""
    return f"p{number // 2}"


def synthetic_index(folder: Path, size: int, quantization: str) -> float:
    """Make an index of synthetic vectors, of ``size`` in one domain and some in another; seconds to fill it."""
    settings, mixture = StoreSettings.parse({"quantization": quantization}), Mixture(0)
    started = time.perf_counter()
    backend = EdgeBackend(folder, settings)
    for domain, source, count, first in (("radiology", mixture, size, 0), ("pathology", Mixture(1), OTHERS, size)):
        store = backend.create(domain, DIMENSION)
        fill(store, source, count, domain, first)
        store.close()
    build_s = time.perf_counter() - started
    describe(folder, settings, mixture, size)
    return build_s


def describe(folder: Path, settings: StoreSettings, mixture: Mixture, size: int) -> None:
    """Make a folder with collections an index; it names no encoder, as the embeddings are ready."""
    samples = np.vstack([mixture.draw(OTHERS, 0), Mixture(1).draw(OTHERS, 0)])
    labels = ["radiology"] * OTHERS + ["pathology"] * OTHERS
    DomainClassifier.fit(samples, labels).save(folder / CLASSIFIER)
    NoveltyDetector.fit(samples, labels).save(folder / NOVELTY)
    (folder / LOCK).touch()
    domains = {"pathology": OTHERS, "radiology": size}
    backend = EdgeBackend(folder, settings)
    picture = bytes(32)  # of nothing, and so nobody's copy
    with Ledger(folder / LEDGER) as ledger:
        ledger.fix(settings_rows(FixedSettings("", "none", AS_THE_FILE_SAYS, settings, {})))
        for domain in domains:
            store = backend.open(domain, DIMENSION)
            for page in store.all_digests():
                ledger.confirm([(id, "", domain, hash_patient(patient_of(int(id))), picture, page[id]) for id in page])
            store.close()
        records = ledger.fingerprint("")
    Manifest(
        encoder="none",
        encoder_fingerprint="",
        records=records,
        zero_shot=hash_json({}),
        classifier=hash_file(folder / CLASSIFIER),
        detector=hash_file(folder / NOVELTY),
        dimension=DIMENSION,
        logit_scale=1.0,
        domains=domains,
        store=settings,
        files=backend.seal(domains, DIMENSION),
    ).save(folder)


def fill(store: VectorStore, mixture: Mixture, count: int, domain: str, first: int = 0) -> None:
    """Write, flush and optimise, as a build does; records are numbered from ``first`` on."""
    for start, rows in mixture.chunks(count):
        for step in range(0, len(rows), 500):
            numbers = range(start + step, start + min(step + 500, len(rows)))
            store.upsert([Point(record(first + n, domain), rows[n - start], rows[n - start]) for n in numbers])
    store.flush()
    store.optimize()


def record(number: int, domain: str) -> Record:
    """A record with a report of ordinary length."""
    report = f"Report {number}. " + "No focal consolidation, pleural effusion or pneumothorax. " * 8
    return Record(str(number), f"{number}.png", report, domain, patient_of(number), f"s{number}", "train")
