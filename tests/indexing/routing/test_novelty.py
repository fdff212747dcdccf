import json
from collections.abc import Callable
from math import inf, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import save

from indexing import DomainClassifier, Encoder, load_image
from indexing.routing.novelty import NoveltyDetector
from tests.indexing.tiny import SAMPLES
from titrate import InputError

Rows = NDArray[np.float32]
CROSS = [[1, 0], [-1, 0], [0, 1], [0, -1]]


@pytest.fixture
def crosses() -> NoveltyDetector:
    """Two domains, each a cross of four points around (0, 0) and (10, 0): their shared covariance is I / 2."""
    rows = np.array(CROSS + [[x + 10, y] for x, y in CROSS], np.float32)
    return NoveltyDetector.fit(rows, ["near"] * 4 + ["far"] * 4)


def test_scores_by_hand(crosses: NoveltyDetector) -> None:
    assert crosses.domains == ["far", "near"]
    np.testing.assert_array_equal(crosses.means, [[10, 0], [0, 0]])
    # Σ = I/2, which shrinking towards a multiple of I leaves alone: the score is 2 |z − μ|², 2 · 25 and 2 · (49 + 16).
    point = np.array([[3, 4]], np.float32)
    np.testing.assert_allclose(crosses.scores(point, ["near"]), [50], rtol=1e-6)
    np.testing.assert_allclose(crosses.scores(point, ["far"]), [130], rtol=1e-6)


def test_scores_agree_with_scikit_learn() -> None:
    from sklearn.covariance import LedoitWolf

    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(90, 6)) @ rng.normal(size=(6, 6))).astype(np.float32)
    names = ["a"] * 60 + ["b"] * 30
    rows[60:] += 5
    found = NoveltyDetector.fit(rows, names).scores(rows, names)
    centred = np.concatenate([rows[:60] - rows[:60].mean(axis=0), rows[60:] - rows[60:].mean(axis=0)])
    oracle = LedoitWolf(assume_centered=True).fit(centred)
    np.testing.assert_allclose(found, oracle.mahalanobis(centred), rtol=1e-4)


def test_each_domain_keeps_the_level_however_strange_its_images() -> None:
    rng = np.random.default_rng(3)
    spread = {"narrow": 1.0, "wide": 3.0}

    def draw(number: int) -> tuple[Rows, list[str]]:
        rows = np.concatenate([rng.normal(0, width, (number, 4)) for width in spread.values()])
        return rows.astype(np.float32), [name for name in spread for _ in range(number)]

    fitted, refused = NoveltyDetector.fit(*draw(200)), []
    for _ in range(300):
        rows, names = draw(79)
        detector = fitted.calibrated(rows, names, [str(i) for i in range(158)])
        fresh, truth = draw(200)
        refused.append(1 - detector.in_domain(fresh, truth).reshape(2, 200).mean(axis=1))
    error = np.std(refused, axis=0) / sqrt(300)
    assert (np.abs(np.mean(refused, axis=0) - 0.05) < 4 * error).all()  # 4/80 for n = 79, in both
    assert (error < 0.002).all()


def test_too_few_patients_never_refuse(crosses: NoveltyDetector) -> None:
    rows = np.array([[i / 10, 0] for i in range(19)] + [[10, 0]] * 36, np.float32)
    # 19 patients suffice at 5 %; 36 images of 18 patients do not.
    units = [str(i) for i in range(19)] + [str(i // 2) for i in range(36)]
    detector = crosses.calibrated(rows, ["near"] * 19 + ["far"] * 36, units)
    np.testing.assert_allclose(detector.thresholds, [inf, 2 * 1.8**2], rtol=1e-6)
    assert detector.units.tolist() == [18, 19]
    strange = np.array([[0, 99], [0, 99], [0, 1.7]], np.float32)
    assert detector.in_domain(strange, ["near", "far", "near"]).tolist() == [False, True, True]
    assert crosses.in_domain(strange, ["near"] * 3).all()
    assert not crosses.in_domain(np.full((1, 2), np.nan, np.float32), ["near"]).any()


def test_images_without_any_variance() -> None:
    detector = NoveltyDetector.fit(np.array([[1, 0]], np.float32), ["only"])
    assert np.isfinite(detector.scores(np.array([[0, 1]], np.float32), ["only"])).all()
    assert detector.in_domain(np.empty((0, 2), np.float32), []).shape == (0,)


def test_wrong_calls(crosses: NoveltyDetector) -> None:
    row = np.zeros((1, 2), np.float32)
    calls: list[tuple[str, Callable[[], Any]]] = [
        ("as many domain names", lambda: NoveltyDetector.fit(row, [])),
        ("as many domain names", lambda: NoveltyDetector.fit(row[:0], [])),
        ("1 embeddings but 2 domains", lambda: crosses.scores(row, ["near", "far"])),
        ("unknown domain 'else'; the detector knows far, near", lambda: crosses.in_domain(row, ["else"])),
        ("1 embeddings but 0 units", lambda: crosses.calibrated(row, ["near"], [])),
        ("between 0 and 1, found 5", lambda: crosses.calibrated(row, ["near"], ["p"], level=5)),
    ]
    for message, call in calls:
        with pytest.raises(ValueError, match=message):
            call()


def test_survives_a_file(tmp_path: Path, crosses: NoveltyDetector) -> None:
    path, rows = tmp_path / "novelty.safetensors", np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
    detector = crosses.calibrated(rows, ["near"] * 40, [str(i) for i in range(40)])
    detector.save(path)
    again = NoveltyDetector.load(path)
    assert again.domains == detector.domains
    for name in ("means", "whitening", "thresholds", "units"):
        np.testing.assert_array_equal(getattr(again, name), getattr(detector, name))


def test_bad_files(tmp_path: Path, crosses: NoveltyDetector) -> None:
    good = {name: getattr(crosses, name) for name in ("means", "whitening", "thresholds", "units")}
    names = json.dumps(crosses.domains)

    def written(tensors: dict[str, NDArray[Any]], domains: str | None) -> bytes:
        return save(tensors, metadata=None if domains is None else {"domains": domains})

    contents = [
        b"",
        b"no tensors",
        written(good, None),
        written(good, "no JSON"),
        written(good, "3"),
        written(good, "[]"),
        written(good, "[1, 2]"),
        written(good, '["far", "near", "third"]'),
        written({k: v for k, v in good.items() if k != "units"}, names),
        written(good | {"whitening": good["whitening"][:1].copy()}, names),
        written(good | {"means": good["means"].ravel()}, names),
        written(good | {"thresholds": np.array([np.nan, 1])}, names),
    ]
    path = tmp_path / "novelty.safetensors"
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"novelty detector .*; build the index again"):
            NoveltyDetector.load(path)
    DomainClassifier(["a"], np.zeros((1, 2), np.float32), np.zeros(1, np.float32)).save(path)
    for missing in (path, tmp_path / "none"):
        with pytest.raises(InputError, match="cannot read novelty detector"):
            NoveltyDetector.load(missing)


@pytest.mark.slow
def test_finds_noise_among_real_images() -> None:
    with (SAMPLES / "corpus.jsonl").open(encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    encoder = Encoder.open(f"local-dir:{SAMPLES / 'models' / 'encoder'}", device="cpu")

    def some(split: str, number: int) -> tuple[Rows, list[str], list[str]]:
        kept = [
            record
            for domain in ("pathology", "radiology")
            for record in [r for r in records if r["split"] == split and r["domain"] == domain][:number]
        ]
        rows = encoder.embed_images([load_image(SAMPLES / record["image"]) for record in kept])
        return rows, [record["domain"] for record in kept], [record["patient"] for record in kept]

    rows, names, _ = some("train", 50)
    classifier = DomainClassifier.fit(rows, names)
    held, _, patients = some("prefer", 22)
    detector = NoveltyDetector.fit(rows, names).calibrated(held, classifier.predict(held), patients)
    assert np.isfinite(detector.thresholds).all()
    fresh, _, _ = some("test", 15)
    assert detector.in_domain(fresh, classifier.predict(fresh)).mean() > 0.85
    rng = np.random.default_rng(0)
    noise = encoder.embed_images([Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)) for _ in range(10)])
    assert detector.in_domain(noise, classifier.predict(noise)).mean() < 0.2
