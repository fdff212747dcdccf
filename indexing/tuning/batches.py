"""The batches of an epoch: which pairs, what is shown of each, in an order and with crops that a seed decides."""

import random
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from open_clip.transform import AugmentationCfg, PreprocessCfg, image_transform_v2
from torch import Tensor
from torchvision.transforms.functional import resized_crop

from indexing.building.reader import THREADS
from indexing.tuning.pairs import Archive, Pair
from indexing.tuning.reports import random_part, report_key
from indexing.tuning.settings import TuningSettings

_BATCHES_AHEAD = 2
_draws = threading.Lock()


@dataclass(frozen=True)
class Batch:
    """What a step trains on.

    Attributes
    ----------
    pixels
        The images, [n, 3, height, width].
    texts
        What is read of each report.
    keys
        Each report's `report_key`.
    images
        The names of the image files: where one has several reports, each of them is its own.
    """

    pixels: Tensor
    texts: list[str]
    keys: list[str]
    images: list[str]


class Batches:
    """All batches of all epochs.

    Parameters
    ----------
    archive, pairs
        What is trained on, and what reads its images.
    towers
        An `OpenClipTowers`, whose preprocessing and tokeniser are used.
    settings
        Of the run.
    """

    def __init__(self, archive: Archive, pairs: Sequence[Pair], towers: Any, settings: TuningSettings) -> None:
        self._archive, self._pairs, self._settings = archive, pairs, settings
        self._keys = [report_key(pair.record.report) for pair in pairs]
        reports = [pair.record.report for pair in pairs]
        self._long = [
            cut for start in range(0, len(reports), 512) for cut in towers.which_cut(reports[start : start + 512])
        ]
        self._transform = _transform(towers, settings.crop)

    @property
    def in_epoch(self) -> int:
        """Number of batches of an epoch."""
        return -(-len(self._pairs) // self._settings.batch_size)

    @property
    def long(self) -> int:
        """How many reports are longer than is read of them at once."""
        return sum(self._long)

    def from_step(self, done: int) -> Generator[Batch, None, None]:
        """The batches after the first ``done``: the same, whether these were drawn in this run or in another."""
        waiting: deque[list[tuple[int, str, Future[Tensor]]]] = deque()
        with ThreadPoolExecutor(THREADS, "decode") as pool:
            try:
                for epoch, rows in self._rows_from(done):
                    waiting.append([self._begin(pool, epoch, row) for row in rows.tolist()])
                    if len(waiting) > _BATCHES_AHEAD:
                        yield self._batch(waiting.popleft())
                while waiting:
                    yield self._batch(waiting.popleft())
            finally:
                pool.shutdown(cancel_futures=True)

    def _rows_from(self, done: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Epoch and rows of each batch after the first ``done``; an epoch's batches differ in size by one at most."""
        begun, first = divmod(done, self.in_epoch)
        for epoch in range(begun, self._settings.epochs):
            order = np.random.default_rng([self._settings.seed, epoch]).permutation(len(self._pairs))
            for rows in np.array_split(order, self.in_epoch)[first if epoch == begun else 0 :]:
                yield epoch, rows

    def _begin(self, pool: ThreadPoolExecutor, epoch: int, row: int) -> tuple[int, str, Future[Tensor]]:
        generator = random.Random(f"{self._settings.seed} {epoch} {row}")
        text = self._pairs[row].record.report
        if self._long[row]:
            text = random_part(text, generator)
        return row, text, pool.submit(self._pixels, row, generator.getrandbits(62))

    def _pixels(self, row: int, seed: int) -> Tensor:
        """Runs in a worker thread."""
        return self._transform(self._archive.image(self._pairs[row]), seed)

    def _batch(self, begun: list[tuple[int, str, Future[Tensor]]]) -> Batch:
        pixels = torch.stack([future.result() for _, _, future in begun])
        rows = [row for row, _, _ in begun]
        images = [self._pairs[row].record.image for row in rows]
        return Batch(pixels, [text for _, text, _ in begun], [self._keys[row] for row in rows], images)


def _transform(towers: Any, crop: float) -> Callable[[Any, int], Tensor]:
    """open_clip's own transform of training images, whose crop depends on the seed that it is called with."""
    if crop == 1:
        return lambda image, seed: towers.preprocess(image)
    config = PreprocessCfg(**towers.model.visual.preprocess_cfg)
    first, *rest = image_transform_v2(config, is_train=True, aug_cfg=AugmentationCfg(scale=(crop, 1.0))).transforms

    def transform(image: Any, seed: int) -> Tensor:
        with _draws, torch.random.fork_rng(devices=[]):  # torchvision draws from the one generator of all threads
            torch.manual_seed(seed)
            box = first.get_params(image, first.scale, first.ratio)
        shown: Any = resized_crop(image, *box, first.size, first.interpolation, antialias=True)
        for step in rest:
            shown = step(shown)
        pixels: Tensor = shown
        return pixels

    return transform
