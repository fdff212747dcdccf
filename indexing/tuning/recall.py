"""How well images find their reports: recall@k over held-out patients."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexing.building.reader import THREADS
from indexing.encoder import Encoder
from indexing.tuning.pairs import Archive, Pair
from indexing.tuning.reports import report_key
from titrate import InputError, in_parallel

KS = (1, 5, 10)
_BATCH = 64


@dataclass(frozen=True)
class Recall:
    """Shares of images whose own report is among the k reports nearest to them, reports that say the same being one.

    Attributes
    ----------
    at
        By k; a k that all reports are within is left out.
    """

    at: dict[int, float]

    @property
    def mean(self) -> float:
        """Over all k, by which encoders are compared."""
        return sum(self.at.values()) / len(self.at)

    def __str__(self) -> str:
        return ", ".join(f"recall@{k} {share:.3f}" for k, share in self.at.items())


class HeldOut:
    """Held-out pairs, on which an encoder's recall is measured as often as is wanted.

    Parameters
    ----------
    archive, pairs
        The pairs held out, and what reads their images; these are kept as the encoder takes them.
    encoder
        Any with the preprocessing of those that will be measured.

    Raises
    ------
    InputError
        If there are not two reports to tell apart, or an image cannot be read any more.
    """

    def __init__(self, archive: Archive, pairs: Sequence[Pair], encoder: Encoder) -> None:
        keys = [report_key(pair.record.report) for pair in pairs]
        first = {key: pair.record.report for key, pair in reversed(list(zip(keys, pairs, strict=True)))}
        if len(first) < 2:
            raise InputError(
                f"the {len(pairs)} records held out have one and the same report, by which no encoder can be told from "
                "another; hold out more patients with --hold-out"
            )
        number = {key: number for number, key in enumerate(first)}
        self._own, self._texts = np.array([number[key] for key in keys]), list(first.values())
        self._pixels = in_parallel(lambda pair: encoder.preprocess(archive.image(pair)), pairs, THREADS)

    @property
    def reports(self) -> int:
        """How many different reports there are."""
        return len(self._texts)

    def recall(self, encoder: Encoder) -> Recall:
        """An encoder's recall, image to report."""
        images = _in_batches(encoder.embed_pixels, self._pixels)
        texts = _in_batches(encoder.embed_texts, self._texts)
        return recall_at(images @ texts.T, self._own)


def _in_batches(embed: Callable[[Any], NDArray[np.float32]], items: Sequence[Any]) -> NDArray[np.float32]:
    return np.concatenate([embed(items[start : start + _BATCH]) for start in range(0, len(items), _BATCH)])


def recall_at(cosines: NDArray[np.float32], own: NDArray[np.int64]) -> Recall:
    """Recall of n images among m different reports.

    Parameters
    ----------
    cosines
        Of each image with each report: [n, m].
    own
        The column of each image's report: [n]. Reports that are as near as it count as nearer, so that an encoder
        which maps all to one place finds nothing.
    """
    ranks = (cosines >= np.take_along_axis(cosines, own[:, None], axis=1)).sum(axis=1)
    return Recall({k: float((ranks <= k).mean()) for k in KS if k < cosines.shape[1]})
