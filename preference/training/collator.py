"""Batches of preference pairs: every answer after its prompt and its own image, with the weight of its pair.

Shapes: n pairs, 2n answers, t tokens.
"""

from collections.abc import Sequence
from typing import Any

import torch
from trl.trainer.utils import flush_left

from indexing import ImageView
from preference.training.rows import TrainingRow
from rag import TransformersMLLM

Batch = dict[str, torch.Tensor]


class PairCollator:
    """Makes batches of rows: first all chosen answers, each after its image and prompt, then all rejected ones.

    Parameters
    ----------
    rows
        Those that the dataset's ``row`` column numbers, from 0.
    model
        Its processor reads texts and images, as it does to answer questions.
    view
        How images are decoded.
    """

    def __init__(self, rows: Sequence[TrainingRow], model: TransformersMLLM, view: ImageView | None) -> None:
        self._rows, self._model, self._view = rows, model, view

    def __call__(self, examples: Sequence[dict[str, Any]]) -> Batch:
        """The batch of the rows that ``examples`` number.

        Returns
        -------
        dict
            ``input_ids``, ``attention_mask`` and ``completion_mask`` [2n, t], padded on the right; the images as the
            model's processor gives them; ``weights`` and ``row`` [n]; and ``shown`` [2n], the number of each answer's
            image, which both answers of a pair share where they were given to the same image.
        """
        rows = [self._rows[example["row"]] for example in examples]
        said = [(row.prompt, row.pair.chosen) for row in rows] + [(row.prompt, row.pair.rejected) for row in rows]
        answers = [self._model.answer_ids(prompt, answer) for prompt, answer in said]
        inputs, completion_mask = self._model.append_answers(self._prompts(rows), answers)
        inputs["completion_mask"] = completion_mask
        shape, mask = inputs["input_ids"].shape, inputs.pop("attention_mask")  # [2n, t]
        along = [name for name, value in inputs.items() if value.shape == shape]
        flushed = flush_left(mask, *(inputs[name] for name in along))  # padding goes from the left to the right
        inputs |= dict(zip(["attention_mask", *along], flushed, strict=True))
        if "cross_attention_mask" in inputs:  # [2n, t, images, tiles]
            starts, width = mask.argmax(1).tolist(), inputs["input_ids"].shape[1]
            rolled = [row.roll(-by, 0) for row, by in zip(inputs["cross_attention_mask"], starts, strict=True)]
            inputs["cross_attention_mask"] = torch.stack(rolled)[:, :width]
        numbers = torch.tensor([example["row"] for example in examples])  # [n]
        shown = torch.arange(2 * len(rows))  # [2n]
        shown[[n + len(rows) for n, row in enumerate(rows) if row.pair.one_image]] -= len(rows)
        return {**inputs, "weights": torch.tensor([row.pair.weight for row in rows]), "row": numbers, "shown": shown}

    def _prompts(self, rows: Sequence[TrainingRow]) -> Batch:
        """Prompts with their images, padded on the left.

        An image that both answers share is prepared once where every input has a row for each of several prompts: some
        processors put the patches of a whole batch into one row (MiniCPM-V).
        """
        prompts = [row.prompt for row in rows]
        chosen, rejected = map(list, zip(*(row.pair.load_images(self._view) for row in rows), strict=True))
        if len(rows) > 1 and all(row.pair.one_image for row in rows):
            once = self._model.inputs(prompts, chosen)
            if all(len(value) == len(rows) for value in once.values()):
                return {name: torch.cat([value, value]) for name, value in once.items()}
        return self._model.inputs(prompts * 2, chosen + rejected)
