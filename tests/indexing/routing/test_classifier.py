from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save

from indexing import DomainClassifier, Encoder
from titrate import InputError


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


def test_zero_shot_by_hand(encoder: Encoder) -> None:
    prompts = {"lung": ["lung"], "heart": ["heart", "a heart"]}
    classifier = DomainClassifier.zero_shot(prompts, encoder)
    assert classifier.domains == ["heart", "lung"]
    one, two, lung = encoder.embed_texts(["heart", "a heart", "lung"])
    mean = (one + two) / 2
    wanted = encoder.logit_scale * np.stack([mean / np.sqrt(mean @ mean), lung])
    np.testing.assert_allclose(classifier.weights, wanted, atol=1e-5)
    np.testing.assert_array_equal(classifier.biases, [0, 0])
    # softmax of scale × cosine
    cosines = np.array([lung @ wanted[0], lung @ wanted[1]])
    np.testing.assert_allclose(classifier.probabilities(lung[None])[0, 1], 1 / (1 + np.exp(cosines[0] - cosines[1])))
    assert classifier.predict(lung[None]) == ["lung"]


def test_zero_shot_needs_prompts(encoder: Encoder) -> None:
    with pytest.raises(InputError, match="at least one domain"):
        DomainClassifier.zero_shot({}, encoder)
    for texts in ([], ["fine", " "], "one text, not a list"):
        with pytest.raises(InputError, match="domain 'lung' needs a list of prompts"):
            DomainClassifier.zero_shot({"lung": texts}, encoder)


def test_restricted_to_some_domains() -> None:
    whole = DomainClassifier(["a", "b", "c"], np.eye(3, dtype=np.float32), np.array([0, 1, 2], np.float32))
    part = whole.restricted(["c", "a"])
    assert part.domains == ["a", "c"]
    # logits (2, 0 + 2): the b that would have won is gone
    np.testing.assert_allclose(part.probabilities(np.array([[2, 9, 0]], np.float32)), [[0.5, 0.5]])
    for names in (["d"], []):
        with pytest.raises(ValueError):
            whole.restricted(names)


def test_malformed_files(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    good = {"weights": np.zeros((2, 3), np.float32), "biases": np.zeros(2, np.float32)}
    for tensors, domains in [
        (good, "7"),
        (good, '["a"]'),
        (good, '["a", 2]'),
        (good | {"biases": np.zeros(3, np.float32)}, '["a", "b"]'),
        (good | {"weights": np.full((2, 3), np.nan, np.float32)}, '["a", "b"]'),
    ]:
        path.write_bytes(save(tensors, metadata={"domains": domains}))
        with pytest.raises(InputError, match=r"domain classifier .* is malformed; build the index again"):
            DomainClassifier.load(path)
