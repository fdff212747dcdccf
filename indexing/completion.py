"""The last steps of a build: search graphs, domain classifier, novelty detector and, last of all, the manifest."""

from pathlib import Path

import numpy as np

from indexing.bound import Bound
from indexing.domains import DomainClassifier
from indexing.encoder import Encoder
from indexing.images import Decoding
from indexing.ledger import Ledger
from indexing.manifest import CLASSIFIER, NOVELTY, Manifest
from indexing.novelty import NoveltyDetector
from indexing.writer import IndexWriter
from titrate.errors import InputError


def complete(
    index: Path,
    encoder: Encoder,
    ledger: Ledger,
    writer: IndexWriter,
    bound: Bound,
    decoding: Decoding,
    held_out_changed: bool,
) -> None:
    """Make an index whole, unless it is and its parts are still true."""
    manifest = Manifest(
        encoder=encoder.id,
        encoder_fingerprint=encoder.fingerprint,
        fingerprint=ledger.fingerprint(encoder.fingerprint),
        dimension=encoder.dimension,
        logit_scale=encoder.logit_scale,
        domains=ledger.counts(),
        store=bound.store,
        decoding=decoding,
    )
    if not writer.changed and not held_out_changed and _is_complete(index, manifest):
        return
    writer.optimize()
    embeddings, labels = writer.sample()
    if bound.zero_shot and set(labels) <= set(bound.zero_shot):
        classifier = DomainClassifier.zero_shot(bound.zero_shot, encoder).restricted(labels)
    else:
        classifier = DomainClassifier.fit(embeddings, labels)
    detector = NoveltyDetector.fit(embeddings, labels)
    held_out = ledger.held_out()
    if held_out:
        vectors = np.stack([np.frombuffer(raw, np.float32) for _, raw in held_out])
        detector = detector.calibrated(vectors, classifier.predict(vectors), [unit for unit, _ in held_out])
    classifier.save(index / CLASSIFIER)
    detector.save(index / NOVELTY)
    manifest.save(index)


def _is_complete(index: Path, manifest: Manifest) -> bool:
    try:
        parts = DomainClassifier.load(index / CLASSIFIER), NoveltyDetector.load(index / NOVELTY)
        return Manifest.load(index) == manifest and all(part.domains == [*manifest.domains] for part in parts)
    except InputError:
        return False
