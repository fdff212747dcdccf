"""The domain classifier: a linear probe on image embeddings, so that routing costs no second encoder pass.

Zero-shot prompts and a "none of these" answer are not here yet.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from titrate.errors import InputError
from titrate.files import write_atomic

INVERSE_REGULARISATION = 100.0
"""Embeddings have unit length, so useful weights are large; scikit-learn's default of 1 flattens the probabilities."""


@dataclass(frozen=True, eq=False)
class DomainClassifier:
    """Multinomial logistic regression from an embedding to a domain.

    Attributes
    ----------
    domains
        The m domain names, sorted.
    weights
        float32 [m, d].
    biases
        float32 [m].
    """

    domains: list[str]
    weights: NDArray[np.float32]
    biases: NDArray[np.float32]

    @classmethod
    def fit(cls, embeddings: NDArray[np.float32], domains: Sequence[str], seed: int = 0) -> "DomainClassifier":
        """Fit to labelled embeddings; every domain counts the same, however many images it has.

        Parameters
        ----------
        embeddings
            Unit rows [n, d].
        domains
            The n domain names. If all are one domain, the classifier always answers it.
        seed
            For the solver.

        Raises
        ------
        ValueError
            If there are no embeddings, or not as many names.
        """
        if len(embeddings) == 0 or len(embeddings) != len(domains):
            raise ValueError(f"need as many domain names as embeddings, found {len(domains)} and {len(embeddings)}")
        names = sorted(set(domains))
        if len(names) == 1:
            return cls(names, np.zeros((1, embeddings.shape[1]), np.float32), np.zeros(1, np.float32))
        from sklearn.linear_model import LogisticRegression  # takes 1.8 s to import, and answering never needs it

        model = LogisticRegression(
            C=INVERSE_REGULARISATION, class_weight="balanced", max_iter=5000, random_state=seed
        ).fit(embeddings.astype(np.float64), list(domains))
        weights, biases = model.coef_, model.intercept_
        if len(names) == 2:  # scikit-learn keeps only the second domain's logit; the first's is zero
            weights, biases = np.vstack([np.zeros_like(weights), weights]), np.append(0.0, biases)
        return cls(names, weights.astype(np.float32), biases.astype(np.float32))

    def probabilities(self, embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probability of each domain: [n, d] → [n, m], rows summing to 1."""
        logits = (embeddings @ self.weights.T + self.biases).astype(np.float64)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        result: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
        return result

    def predict(self, embeddings: NDArray[np.float32]) -> list[str]:
        """The likeliest domain of each embedding: [n, d] → n names."""
        return [self.domains[best] for best in self.probabilities(embeddings).argmax(axis=1)]

    def save(self, path: Path) -> None:
        """Write as safetensors, whole or not at all.

        Raises
        ------
        InputError
            If the file cannot be written.
        """
        # safetensors writes the buffer as it lies in memory, and scikit-learn's weights may lie column by column.
        tensors = {"weights": np.ascontiguousarray(self.weights), "biases": np.ascontiguousarray(self.biases)}
        write_atomic(path, save(tensors, metadata={"domains": json.dumps(self.domains)}))

    @classmethod
    def load(cls, path: Path) -> "DomainClassifier":
        """Read what `save` wrote.

        Raises
        ------
        InputError
            If the file is missing or is not a domain classifier.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                domains = json.loads((file.metadata() or {})["domains"])
                weights, biases = file.get_tensor("weights"), file.get_tensor("biases")
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise InputError(f"cannot read domain classifier {path}; build the index again") from error
        m = len(domains)
        if not isinstance(domains, list) or m == 0 or weights.ndim != 2 or len(weights) != m or biases.shape != (m,):
            raise InputError(f"domain classifier {path} is malformed; build the index again")
        return cls(domains, weights, biases)
