"""Whether an image belongs to any of the domains: a distance in embedding space, and a threshold with a guarantee.

The score is the Mahalanobis distance from the mean of the domain that the classifier chose, under a covariance that
the domains share (Lee et al. 2018, arXiv 1807.03888), Ledoit–Wolf shrunk. On development images it separated better
than relative Mahalanobis, the distance to the nearest neighbours, the classifier's energy and its probability.

The threshold of each domain is split-conformal (Vovk et al. 2005; Bates et al. 2023, arXiv 2104.08279): of new images
that are like the calibration images, at most the level is refused, on average over calibration sets. Patients are the
unit: each counts the same, however many images it has (hierarchical conformal prediction, arXiv 2306.06342).

Calibration images must be new to the detector, and as new to the encoder as the queries will be. An encoder draws the
images that it was trained on together, so thresholds from those refuse more than the level of new ones: see
`indexing.routing.conformal.hold_out_patients`.

Not covered: nothing is promised about which foreign images are found, nor about in-domain images of another kind than
the calibration images (another scanner, another age group): those may well be refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from indexing.routing.conformal import LEVEL, conformal_threshold
from indexing.routing.tensors import load_tensors, malformed, save_tensors

_VARIANCE_FLOOR = 1e-8
"""Unit embeddings of 1,000 numbers vary by 1e-3 in each; a direction without variance must not divide by zero."""

_KIND = "novelty detector"
_NAMES = ("means", "whitening", "thresholds", "units")


@dataclass(frozen=True, eq=False)
class NoveltyDetector:
    """Says of an image embedding whether it is unlike everything in the domain that it was routed to.

    Make one with `NoveltyDetector.fit`, then `calibrated`; until then it refuses nothing.

    Attributes
    ----------
    domains
        The m domain names, sorted.
    means
        float32 [m, d].
    whitening
        float32 [d, d]: embeddings times this have unit covariance within a domain.
    thresholds
        float64 [m]: scores above are refused. Infinite, so nothing is, where too few patients calibrated the domain.
    units
        int64 [m]: patients that calibrated each threshold.
    """

    domains: list[str]
    means: NDArray[np.float32]
    whitening: NDArray[np.float32]
    thresholds: NDArray[np.float64]
    units: NDArray[np.int64]

    @classmethod
    def fit(cls, embeddings: NDArray[np.float32], domains: Sequence[str]) -> "NoveltyDetector":
        """Learn each domain's mean and the covariance they share.

        Parameters
        ----------
        embeddings
            Unit rows [n, d].
        domains
            The n domain names.

        Raises
        ------
        ValueError
            If there are no embeddings, or not as many names.
        """
        if len(embeddings) == 0 or len(embeddings) != len(domains):
            raise ValueError(f"need as many domain names as embeddings, found {len(domains)} and {len(embeddings)}")
        from sklearn.covariance import ledoit_wolf  # takes 1.8 s to import, and answering never needs it

        names, rows = np.unique(np.asarray(domains), return_inverse=True)
        means = np.stack(
            [embeddings[rows == row].mean(axis=0, dtype=np.float64) for row in range(len(names))]
        )  # [m, d]
        residuals = embeddings - means[rows]  # [n, d]
        # scikit-learn warns of a single image, whose residuals are zero.
        covariance = ledoit_wolf(residuals, assume_centered=True)[0] if len(residuals) > 1 else residuals.T @ residuals
        variances, directions = np.linalg.eigh(covariance)  # [d, d] → [d], [d, d]
        whitening = directions / np.sqrt(np.maximum(variances, _VARIANCE_FLOOR))
        return cls(
            [str(name) for name in names],
            means.astype(np.float32),
            whitening.astype(np.float32),
            np.full(len(names), np.inf),
            np.zeros(len(names), np.int64),
        )

    def calibrated(
        self, embeddings: NDArray[np.float32], routed: Sequence[str], units: Sequence[str], level: float = LEVEL
    ) -> "NoveltyDetector":
        """The same detector with a threshold for each domain that refuses at most ``level`` of new images.

        Parameters
        ----------
        embeddings
            Images that were not fitted to, [n, d], as new to the encoder as queries will be.
        routed
            The domain that the classifier chose for each, as it will for queries, not the true one.
        units
            Patient of each image, or study or image where none is known. A domain with fewer than 1/level − 1 of them
            (19 at 5 %) never refuses.
        level
            Between 0 and 1.

        Raises
        ------
        ValueError
            If the lengths differ, a domain is unknown, or the level is out of range.
        """
        if not 0 < level < 1:
            raise ValueError(f"level must be between 0 and 1, found {level}")
        if len(units) != len(embeddings):
            raise ValueError(f"{len(embeddings)} embeddings but {len(units)} units")
        scores = self.scores(embeddings, routed)
        chosen, patients = np.asarray(routed), np.asarray(units)
        thresholds, numbers = self.thresholds.copy(), self.units.copy()
        for row, domain in enumerate(self.domains):
            here = chosen == domain
            thresholds[row] = conformal_threshold(scores[here], patients[here], level)
            numbers[row] = len(set(patients[here]))
        return replace(self, thresholds=thresholds, units=numbers)

    def scores(self, embeddings: NDArray[np.float32], routed: Sequence[str]) -> NDArray[np.float64]:
        """Squared Mahalanobis distance of each embedding from its domain's mean; higher is stranger.

        Parameters
        ----------
        embeddings
            [n, d].
        routed
            The domain that the classifier chose for each.

        Returns
        -------
        numpy.ndarray
            float64 [n].

        Raises
        ------
        ValueError
            If the lengths differ or a domain is unknown.
        """
        away = (embeddings - self.means[self._rows(embeddings, routed)]) @ self.whitening  # [n, d] @ [d, d] → [n, d]
        result: NDArray[np.float64] = np.square(away, dtype=np.float64).sum(axis=1)
        return result

    def in_domain(self, embeddings: NDArray[np.float32], routed: Sequence[str]) -> NDArray[np.bool_]:
        """True where the image looks like its domain, False for "none of these"; see `scores`."""
        result: NDArray[np.bool_] = self.scores(embeddings, routed) <= self.thresholds[self._rows(embeddings, routed)]
        return result

    def save(self, path: Path) -> None:
        """Write as safetensors, whole or not at all.

        Raises
        ------
        InputError
            If the file cannot be written.
        """
        save_tensors(path, self.domains, {name: getattr(self, name) for name in _NAMES})

    @classmethod
    def load(cls, path: Path) -> "NoveltyDetector":
        """Read what `save` wrote.

        Raises
        ------
        InputError
            If the file is missing or is not a novelty detector.
        """
        domains, tensors = load_tensors(path, _KIND, _NAMES)
        means, m = tensors["means"], len(domains)
        d = means.shape[-1] if means.ndim == 2 else 0
        wanted = {"means": (m, d), "whitening": (d, d), "thresholds": (m,), "units": (m,)}
        if d == 0 or any(tensors[name].shape != shape for name, shape in wanted.items()):
            raise malformed(path, _KIND)
        return cls(domains, **tensors)

    def _rows(self, embeddings: NDArray[np.float32], routed: Sequence[str]) -> NDArray[np.intp]:
        if len(embeddings) != len(routed):
            raise ValueError(f"{len(embeddings)} embeddings but {len(routed)} domains")
        numbers = {domain: row for row, domain in enumerate(self.domains)}
        if unknown := set(routed) - set(numbers):
            raise ValueError(f"unknown domain {min(unknown)!r}; the detector knows {', '.join(self.domains)}")
        return np.array([numbers[domain] for domain in routed], dtype=np.intp)
