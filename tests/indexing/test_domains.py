from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from indexing import DomainClassifier
from titrate.errors import InputError


def clusters(centres: int, seed: int) -> tuple[NDArray[np.float32], list[str]]:
    """Unit vectors around the first axes of 8 dimensions, 30 each."""
    noise = np.random.default_rng(seed).normal(0, 0.2, (centres * 30, 8))
    rows = np.repeat(np.eye(8)[:centres], 30, axis=0) + noise
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float32), [f"domain {i}" for i in range(centres) for _ in range(30)]


def test_probabilities_by_hand() -> None:
    classifier = DomainClassifier(["a", "b"], np.array([[1, 0], [0, 1]], np.float32), np.array([0, 1], np.float32))
    # logits (2, 1) and (0, 1): softmax 1/(1+e^-1) and 1/(1+e)
    found = classifier.probabilities(np.array([[2, 0], [0, 0]], np.float32))
    np.testing.assert_allclose(found, [[0.731059, 0.268941], [0.268941, 0.731059]], atol=1e-6)
    assert classifier.predict(np.array([[2, 0], [0, 0]], np.float32)) == ["a", "b"]


@pytest.mark.parametrize("centres", [1, 2, 3])
def test_fit_agrees_with_scikit_learn_and_survives_a_file(tmp_path: Path, centres: int) -> None:
    rows, names = clusters(centres, seed=0)
    classifier = DomainClassifier.fit(rows, names)
    fresh, truth = clusters(centres, seed=1)
    probabilities = classifier.probabilities(fresh)
    assert probabilities.shape == (centres * 30, centres)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert np.mean([a == b for a, b in zip(classifier.predict(fresh), truth, strict=True)]) > 0.97
    if centres > 1:
        from sklearn.linear_model import LogisticRegression

        oracle = LogisticRegression(C=100, class_weight="balanced", max_iter=5000).fit(rows.astype(float), names)
        np.testing.assert_allclose(probabilities, oracle.predict_proba(fresh), atol=1e-3)
    classifier.save(tmp_path / "c.safetensors")
    again = DomainClassifier.load(tmp_path / "c.safetensors")
    assert again.domains == classifier.domains
    np.testing.assert_array_equal(again.probabilities(fresh), probabilities)


def test_bad_input(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="as many domain names"):
        DomainClassifier.fit(np.zeros((2, 8), np.float32), ["a"])
    (tmp_path / "c").write_bytes(b"no tensors")
    for path in (tmp_path / "c", tmp_path / "none"):
        with pytest.raises(InputError, match="build the index again"):
            DomainClassifier.load(path)
