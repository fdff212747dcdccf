"""The last steps of a build: search graphs, domain classifier, novelty detector and, last of all, the manifest."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from indexing.building.writer import IndexWriter, Sample
from indexing.encoder import Encoder
from indexing.folder.fixed_settings import Bound
from indexing.folder.ledger import Ledger
from indexing.folder.manifest import CLASSIFIER, NOVELTY, Manifest, ThresholdSource
from indexing.images.view import ImageView
from indexing.routing.classifier import DomainClassifier
from indexing.routing.conformal import held_out
from indexing.routing.novelty import NoveltyDetector
from titrate import InputError


def complete(
    index: Path,
    encoder: Encoder,
    ledger: Ledger,
    writer: IndexWriter,
    bound: Bound,
    view: ImageView,
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
        view=view,
    )
    if not writer.changed and not held_out_changed and _is_complete(index, manifest):
        return
    writer.optimize()
    classifier, detector, threshold = _parts(encoder, bound, writer.sample(), ledger)
    classifier.save(index / CLASSIFIER)
    detector.save(index / NOVELTY)
    replace(manifest, threshold=threshold).save(index)


def _parts(
    encoder: Encoder, bound: Bound, sample: Sample, ledger: Ledger
) -> tuple[DomainClassifier, NoveltyDetector, ThresholdSource]:
    """Classifier and detector, and where its thresholds come from: the held-out split, or else indexed patients."""
    if rows := ledger.held_out():
        classifier, detector = _fitted(encoder, bound, sample)
        vectors = np.stack([np.frombuffer(raw, np.float32) for _, raw in rows])
        detector = detector.calibrated(vectors, classifier.predict(vectors), [unit for unit, _ in rows])
        if np.isfinite(detector.thresholds).any():
            return classifier, detector, "prefer"
    kept = held_out(sample.units, sample.domains)
    classifier, detector = _fitted(encoder, bound, sample.where(~kept))
    own = sample.where(kept)
    detector = detector.calibrated(own.vectors, classifier.predict(own.vectors), own.units)
    return classifier, detector, "index" if np.isfinite(detector.thresholds).any() else "none"


def _fitted(encoder: Encoder, bound: Bound, sample: Sample) -> tuple[DomainClassifier, NoveltyDetector]:
    if bound.zero_shot and set(sample.domains) <= set(bound.zero_shot):
        classifier = DomainClassifier.zero_shot(bound.zero_shot, encoder).restricted(sample.domains)
    else:
        classifier = DomainClassifier.fit(sample.vectors, sample.domains)
    return classifier, NoveltyDetector.fit(sample.vectors, sample.domains)


def _is_complete(index: Path, manifest: Manifest) -> bool:
    try:
        parts = DomainClassifier.load(index / CLASSIFIER), NoveltyDetector.load(index / NOVELTY)
        found = Manifest.load(index)
    except InputError:
        return False
    # Where the thresholds come from follows from the rest, but must have been noted.
    same = found.threshold is not None and replace(found, threshold=manifest.threshold) == manifest
    return same and all(part.domains == [*manifest.domains] for part in parts)
