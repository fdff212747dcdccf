"""Routing and "none of these", measured on the research data, on images that are not medical, and on noise.

    python -m benchmarks.domains --data ../shared/data --index bench/index --work bench

The detector is fitted to the `train` split and calibrated on `prefer`, which the encoder was not trained on. The score
was chosen on `prefer` and on the development half of the foreign images; nothing here was used to choose anything.
Embeddings are kept in the work folder, so that a second run is quick.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from benchmarks import foreign
from indexing import DomainClassifier, Encoder, NoveltyDetector, default_prompts, load_image
from indexing.folder.manifest import CLASSIFIER, Manifest
from indexing.routing.conformal import LEVEL, hold_out_patients
from titrate import hash_json, read_jsonl

RESAMPLES, SEED, BATCH = 2000, 0, 32
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Split:
    """Embeddings [n, d] of one split with their true domains and patients."""

    rows: NDArray[np.float32]
    domains: NDArray[np.str_]
    patients: NDArray[np.str_]

    def where(self, chosen: Flags) -> "Split":
        """The images for which ``chosen`` is true."""
        return Split(self.rows[chosen], self.domains[chosen], self.patients[chosen])


def main(data: Path, index: Path, work: Path) -> None:
    """Measure everything and print it; figures also go to ``work/domains.json``."""
    work.mkdir(parents=True, exist_ok=True)
    encoder = Encoder.open(Manifest.load(index).encoder)
    classifier = DomainClassifier.load(index / CLASSIFIER)
    train, prefer, test = (embed_split(encoder, data, split, work) for split in ("train", "prefer", "test"))
    detector = detector_from(classifier, train, prefer)
    kept = hold_out_patients(train.patients.tolist(), train.domains.tolist())
    figures = {
        "routing on test": routing(classifier, test),
        "thresholds": {
            domain: {"threshold": float(threshold), "patients": int(number)}
            for domain, threshold, number in zip(detector.domains, detector.thresholds, detector.units, strict=True)
        },
        "refused on test": refused(detector, classifier, test),
        "refused on test, calibrated on images the encoder was trained on": refused(
            detector_from(classifier, train.where(~kept), train.where(kept)), classifier, test
        ),
        "foreign images detected": foreign_images(detector, classifier, encoder),
        "domains left out and detected": left_out(train, prefer, test),
        "zero-shot on test": zero_shot(encoder, test),
    }
    print(json.dumps(figures, indent=1))
    (work / "domains.json").write_text(json.dumps(figures, indent=1) + "\n")


def embed_split(encoder: Encoder, data: Path, split: str, work: Path) -> Split:
    """Embeddings of a split's images, from the work folder if they are there and of this encoder."""
    records = [record for _, record in read_jsonl(data / "corpus.jsonl") if record["split"] == split]
    stamp = hash_json([encoder.fingerprint, [record["image"] for record in records]])
    file = work / f"{split}-{stamp[:16]}.npy"
    if not file.exists():
        batches = []
        for start in range(0, len(records), BATCH):
            images = [load_image(data / record["image"]) for record in records[start : start + BATCH]]
            batches.append(encoder.embed_images(images))
            print(f"{split}: {start + len(images)} of {len(records)}", file=sys.stderr, flush=True)
        np.save(file, np.concatenate(batches))
    names = [[record[field] for record in records] for field in ("domain", "patient")]
    return Split(np.load(file, allow_pickle=False), np.array(names[0]), np.array(names[1]))


def detector_from(classifier: DomainClassifier, fitted: Split, held: Split) -> NoveltyDetector:
    """A detector fitted to one split and calibrated on another."""
    detector = NoveltyDetector.fit(fitted.rows, fitted.domains.tolist())
    return detector.calibrated(held.rows, classifier.predict(held.rows), held.patients.tolist(), LEVEL)


def routing(classifier: DomainClassifier, split: Split) -> dict[str, Any]:
    """Share of images routed to their own domain: overall, per domain, and what a constant answer would reach."""
    right = np.array(classifier.predict(split.rows)) == split.domains
    names, numbers = np.unique(split.domains, return_counts=True)
    return {
        "accuracy": share(right, split.patients),
        "of each domain": {str(d): share(right[split.domains == d], split.patients[split.domains == d]) for d in names},
        "always the largest domain": float(numbers.max() / numbers.sum()),
    }


def refused(detector: NoveltyDetector, classifier: DomainClassifier, split: Split) -> dict[str, Any]:
    """Share of in-domain images called "none of these", by true domain; the promise is about the mean over patients."""
    away = ~detector.in_domain(split.rows, classifier.predict(split.rows))
    found = {"all": share(away, split.patients), "mean over patients": patient_mean(away, split.patients)}
    for domain in np.unique(split.domains):
        here = split.domains == domain
        found[str(domain)] = share(away[here], split.patients[here])
        found[f"{domain}, mean over patients"] = patient_mean(away[here], split.patients[here])
    return found


def foreign_images(detector: NoveltyDetector, classifier: DomainClassifier, encoder: Encoder) -> dict[str, Any]:
    """Detection of the reporting half of the foreign images; medical images of new sources should not be detected."""

    def detect(images: Sequence[Any]) -> tuple[Flags, list[str]]:
        rows = encoder.embed_images(images)
        routed = classifier.predict(rows)
        return ~detector.in_domain(rows, routed), routed

    pictures, medical = foreign.photographs("report"), foreign.medical()
    seen, routed = detect(list(pictures.values()))
    found: dict[str, Any] = {"photographs": counted(seen)}
    found["photographs by name"] = {
        name: f"{'detected' if hit else 'missed'}, routed to {domain}"
        for name, hit, domain in zip(pictures, seen, routed, strict=True)
    }
    found["faces, 25 pixels"] = counted(detect(foreign.faces("report"))[0])
    found |= {kind: counted(detect(images)[0]) for kind, images in foreign.noise("report").items()}
    seen, routed = detect(list(medical.values()))
    found["medical images of new sources"] = {
        name: f"{'refused' if hit else 'accepted'}, routed to {domain}, is {foreign.MEDICAL[name]}"
        for name, hit, domain in zip(medical, seen, routed, strict=True)
    }
    return found


def left_out(train: Split, prefer: Split, test: Split) -> dict[str, str]:
    """Detection of a medical domain that classifier and detector were not told of (the encoder was trained on it)."""
    found = {}
    for domain in np.unique(train.domains):
        known, held = (part.where(part.domains != domain) for part in (train, prefer))
        classifier = DomainClassifier.fit(known.rows, known.domains.tolist(), SEED)
        detector = detector_from(classifier, known, held)
        rows = test.rows[test.domains == domain]
        found[str(domain)] = counted(~detector.in_domain(rows, classifier.predict(rows)))
    return found


def zero_shot(encoder: Encoder, split: Split) -> dict[str, Any]:
    """Routing by prompts alone."""
    prompts = default_prompts(str(domain) for domain in np.unique(split.domains))
    plain = {domain: [f"a {domain} image"] for domain in prompts}
    return {
        "default prompts, the four domains": routing(DomainClassifier.zero_shot(prompts, encoder), split),
        "default prompts, all six domains": routing(DomainClassifier.zero_shot(default_prompts(), encoder), split),
        '"a {domain} image"': routing(DomainClassifier.zero_shot(plain, encoder), split),
    }


def share(flags: Flags, patients: NDArray[np.str_]) -> str:
    """Share of images, with a 95 % interval from a bootstrap over patients."""
    return interval(flags, patients, lambda hits, numbers: hits.sum(axis=-1) / numbers.sum(axis=-1), "images")


def patient_mean(flags: Flags, patients: NDArray[np.str_]) -> str:
    """Mean over patients of their share of images, with a 95 % interval from a bootstrap over patients."""
    return interval(flags, patients, lambda hits, numbers: (hits / numbers).mean(axis=-1), "patients")


def interval(
    flags: Flags,
    patients: NDArray[np.str_],
    statistic: Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]],
    unit: str,
) -> str:
    """A statistic of each patient's hits and number of images, as text with its interval."""
    _, owners, numbers = np.unique(patients, return_inverse=True, return_counts=True)
    hits, totals = np.bincount(owners, weights=flags).astype(np.float64), numbers.astype(np.float64)
    draws = np.random.default_rng(SEED).integers(0, len(totals), (RESAMPLES, len(totals)))
    low, high = np.quantile(statistic(hits[draws], totals[draws]), [0.025, 0.975])
    n = len(flags) if unit == "images" else len(totals)
    return f"{statistic(hits, totals):.4f} [{low:.4f}, {high:.4f}] of {n} {unit}"


def counted(flags: Flags) -> str:
    """Hits of independent images, with an exact (Clopper–Pearson) 95 % interval."""
    hits, n = int(flags.sum()), len(flags)
    low = beta.ppf(0.025, hits, n - hits + 1) if hits else 0.0
    high = beta.ppf(0.975, hits + 1, n - hits) if hits < n else 1.0
    return f"{hits} of {n} [{low:.2f}, {high:.2f}]"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure routing and novelty detection.")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--index", type=Path, default=Path("bench/index"))
    parser.add_argument("--work", type=Path, default=Path("bench"))
    options = parser.parse_args()
    main(options.data, options.index, options.work)
