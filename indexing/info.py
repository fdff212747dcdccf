"""What an index is: counts, encoder, size and place."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from indexing.folder.contents import check_contents
from indexing.folder.ledger import Ledger
from indexing.folder.manifest import LEDGER, NOVELTY, Manifest, ThresholdSource
from indexing.folder.reading import read_index
from indexing.routing.novelty import NoveltyDetector
from indexing.stores.disk import size_on_disk
from indexing.stores.open import open_backend
from indexing.stores.settings import Quantization


@dataclass(frozen=True)
class IndexInfo:
    """What `titrate info` shows.

    Attributes
    ----------
    location
        Folder or server URL where the vectors are.
    collections
        Name of each domain's collection there.
    domains
        Number of records of each domain.
    encoder, encoder_fingerprint
        What `Encoder.open` takes, and the hash of the encoder that made the vectors.
    fingerprint
        Of the encoder, every record's content, and how queries are routed and searched.
    dimension
        Length of a vector.
    quantization
        Of the vectors that are searched first.
    threshold_source
        Which images set the thresholds of "none of these"; see `Manifest`.
    threshold_patients
        How many patients set that of each domain; 0 where it refuses nothing, as too few were there.
    shards, replicas
        As settled for a server; None where the server decides, or there is none.
    folder_bytes
        What the index folder takes on disk.
    vector_bytes
        What the collections take, in the folder or not; None where a server does not tell.
    """

    location: str
    collections: list[str]
    domains: dict[str, int]
    encoder: str
    encoder_fingerprint: str
    fingerprint: str
    dimension: int
    quantization: Quantization
    threshold_source: ThresholdSource
    threshold_patients: dict[str, int]
    shards: int | None
    replicas: int | None
    folder_bytes: int
    vector_bytes: int | None

    @property
    def records(self) -> int:
        """Number of records in all domains."""
        return sum(self.domains.values())


def index_info(path: Path, api_key: str | None = None, url: str | None = None) -> IndexInfo:
    """Describe a finished index.

    Parameters
    ----------
    path
        The index folder.
    api_key, url
        Of its server, if its vectors are on one: see `Index.open`.

    Raises
    ------
    InputError
        If there is no complete index in this folder, it is damaged or was edited, or a build is changing it.
    TitrateError
        If its server cannot be reached.
    """

    def read(manifest: Manifest, resources: ExitStack) -> IndexInfo:
        with resources:
            manifest.store.admit(url)
            ledger = resources.enter_context(Ledger(path / LEDGER, read_only=True))
            backend = resources.enter_context(open_backend(manifest.store, path, api_key, reading=True))
            check_contents(path, manifest, ledger, backend)
            detector = NoveltyDetector.load(path / NOVELTY)
            patients = np.where(np.isfinite(detector.thresholds), detector.units, 0)
            return IndexInfo(
                location=backend.location,
                collections=backend.collections(),
                domains=manifest.domains,
                encoder=manifest.encoder,
                encoder_fingerprint=manifest.encoder_fingerprint,
                fingerprint=manifest.fingerprint,
                dimension=manifest.dimension,
                quantization=manifest.store.quantization,
                threshold_source=manifest.threshold_source,
                threshold_patients=dict(zip(detector.domains, patients.tolist(), strict=True)),
                shards=manifest.store.shards,
                replicas=manifest.store.replicas,
                folder_bytes=size_on_disk(path),
                vector_bytes=backend.size_bytes(),
            )

    return read_index(path, read)
