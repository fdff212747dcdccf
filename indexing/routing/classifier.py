"""The domain classifier: a linear map from image embeddings, so that routing costs no second encoder pass.

Fitted to labelled embeddings where the corpus names domains, made of prompts where it does not. It always names one of
its domains; whether the image belongs to any is for `NoveltyDetector` to say.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from indexing.routing.tensors import load_tensors, malformed, save_tensors
from titrate import InputError

if TYPE_CHECKING:
    from indexing.encoder import Encoder

INVERSE_REGULARISATION = 100.0
"""Embeddings have unit length, so useful weights are large; scikit-learn's default of 1 flattens the probabilities."""

_KIND = "domain classifier"


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
        weights, biases = model.coef_, model.intercept_  # [m, d], [m]; [1, d], [1] for two domains
        if len(names) == 2:  # scikit-learn keeps only the second domain's logit; the first's is zero
            weights, biases = np.vstack([np.zeros_like(weights), weights]), np.append(0.0, biases)
        return cls(names, weights.astype(np.float32), biases.astype(np.float32))

    @classmethod
    def zero_shot(cls, prompts: Mapping[str, Sequence[str]], encoder: "Encoder") -> "DomainClassifier":
        """Classify by prompts alone: the mean direction of a domain's prompts is its weight vector.

        CLIP's prompt ensembling (arXiv 2103.00020 §3.1.4): weights are the model's logit scale × the normalised mean
        of the normalised text embeddings, biases are 0. How well that works depends on the encoder's text tower.

        An encoder trained with a sigmoid loss gives each domain a probability σ(s · cos + b) of its own. Domains
        exclude each other: given that exactly one of them matches, its probability is proportional to the odds exp(s ·
        cos + b), which is the same softmax, and b cancels.

        Parameters
        ----------
        prompts
            At least one prompt of each domain; see `default_prompts`.
        encoder
            The one that embeds the images.

        Raises
        ------
        InputError
            If there is no domain, or a domain has no prompt.
        """
        if not prompts:
            raise InputError("zero-shot classification needs at least one domain with a prompt")
        for domain, texts in prompts.items():
            if isinstance(texts, str) or not texts or not all(text.strip() for text in texts):
                raise InputError(f"domain {domain!r} needs a list of prompts, none of them empty")
        names = sorted(prompts)
        means = np.stack([encoder.embed_texts(prompts[name]).mean(axis=0) for name in names])  # [m, d]
        weights = encoder.logit_scale * means / np.linalg.norm(means, axis=1, keepdims=True)
        return cls(names, weights.astype(np.float32), np.zeros(len(names), np.float32))

    def restricted(self, domains: Collection[str]) -> "DomainClassifier":
        """The same classifier with only these domains to choose from.

        Raises
        ------
        ValueError
            If it does not know one of them, or there are none.
        """
        rows = [self.domains.index(name) for name in sorted(set(domains))]
        if not rows:
            raise ValueError("a classifier needs at least one domain")
        return DomainClassifier([self.domains[row] for row in rows], self.weights[rows], self.biases[rows])

    def probabilities(self, embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probability of each domain: [n, d] → [n, m], rows summing to 1."""
        logits = (embeddings @ self.weights.T + self.biases).astype(np.float64)  # [n, d] @ [d, m] + [m] → [n, m]
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
        save_tensors(path, self.domains, {"weights": self.weights, "biases": self.biases})

    @classmethod
    def load(cls, path: Path) -> "DomainClassifier":
        """Read what `save` wrote.

        Raises
        ------
        InputError
            If the file is missing or is not a domain classifier.
        """
        domains, tensors = load_tensors(path, _KIND, ("weights", "biases"))
        weights, biases = tensors["weights"], tensors["biases"]
        if weights.ndim != 2 or len(weights) != len(domains) or biases.shape != (len(domains),):
            raise malformed(path, _KIND)
        return cls(domains, weights, biases)
