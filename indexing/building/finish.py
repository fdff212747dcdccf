"""The last steps of a build: search graphs, domain classifier, novelty detector and, last of all, the manifest."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from indexing.building.writer import IndexWriter, Sample
from indexing.encoder import Encoder
from indexing.folder.contents import hash_file, hash_pseudonym_key
from indexing.folder.fixed_settings import FixedSettings
from indexing.folder.ledger import Ledger
from indexing.folder.manifest import CLASSIFIER, NOVELTY, Manifest, ThresholdSource
from indexing.routing.classifier import DomainClassifier
from indexing.routing.conformal import hold_out_patients
from indexing.routing.novelty import NoveltyDetector
from titrate import InputError, hash_json


def finish_index(
    index: Path,
    encoder: Encoder,
    ledger: Ledger,
    writer: IndexWriter,
    fixed: FixedSettings,
) -> None:
    """Build search graphs, classifier and detector and write the manifest, unless all of them are there and up to date.

    Parameters
    ----------
    index
        The index folder.
    encoder, ledger, writer, fixed
        Of the index.
    """
    manifest = Manifest(
        encoder=encoder.id,
        encoder_fingerprint=encoder.fingerprint,
        records=ledger.fingerprint(encoder.fingerprint),
        zero_shot=hash_json(fixed.zero_shot),
        classifier="",
        detector="",
        dimension=encoder.dimension,
        logit_scale=encoder.logit_scale,
        logit_bias=encoder.logit_bias,
        domains=ledger.counts(),
        store=fixed.store,
        view=fixed.view,
        pseudonym_key=hash_pseudonym_key(index),
    )
    if not writer.changed and _is_complete(index, manifest):
        return
    writer.mark_changed()
    writer.optimize()
    classifier, detector, source = _parts(encoder, fixed, writer.sample(), ledger)
    classifier.save(index / CLASSIFIER)
    detector.save(index / NOVELTY)
    replace(
        manifest,
        classifier=hash_file(index / CLASSIFIER),
        detector=hash_file(index / NOVELTY),
        files=writer.seal(),
        threshold_source=source,
    ).save(index)


def _parts(
    encoder: Encoder, fixed: FixedSettings, sample: Sample, ledger: Ledger
) -> tuple[DomainClassifier, NoveltyDetector, ThresholdSource]:
    """Classifier and detector, and which images set its thresholds: the held-out split's, or else indexed patients'."""
    if rows := ledger.held_out():
        classifier, detector = _fitted(encoder, fixed, sample)
        vectors = np.stack([np.frombuffer(raw, np.float32) for _, raw in rows])  # [n, d]
        detector = detector.calibrated(vectors, classifier.predict(vectors), [unit for unit, _ in rows])
        if np.isfinite(detector.thresholds).any():
            return classifier, detector, "prefer"
    kept = hold_out_patients(sample.units, sample.domains)
    classifier, detector = _fitted(encoder, fixed, sample.where(~kept))
    own = sample.where(kept)
    detector = detector.calibrated(own.vectors, classifier.predict(own.vectors), own.units)
    return classifier, detector, "index" if np.isfinite(detector.thresholds).any() else "none"


def _fitted(encoder: Encoder, fixed: FixedSettings, sample: Sample) -> tuple[DomainClassifier, NoveltyDetector]:
    if fixed.zero_shot and set(sample.domains) <= set(fixed.zero_shot):
        classifier = DomainClassifier.zero_shot(fixed.zero_shot, encoder).restricted(sample.domains)
    else:
        classifier = DomainClassifier.fit(sample.vectors, sample.domains)
    return classifier, NoveltyDetector.fit(sample.vectors, sample.domains)


def _is_complete(index: Path, manifest: Manifest) -> bool:
    """Whether the folder's manifest says the same, and classifier and detector are those that it names."""
    try:
        found = Manifest.load(index)
        parts = hash_file(index / CLASSIFIER), hash_file(index / NOVELTY)
    except InputError:
        return False
    # These follow from the rest; the files were checked before the build began.
    bare = replace(found, classifier="", detector="", files={}, threshold_source=manifest.threshold_source)
    return bare == manifest and parts == (found.classifier, found.detector)
