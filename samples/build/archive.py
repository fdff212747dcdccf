"""The training data in memory: records, questions and decoded images; and image augmentation."""

import json
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from samples.build.worlds import world_filter

CACHE_PIXELS = 224
"""Side in pixels of the decoded images, from which augmentation samples its smaller crops."""

TWINS = {
    *(f"vqarad-synpic{number}" for number in (23571, 27142, 32981, 34054, 39460)),
    "busi-malignant_145_",
}
"""Train records whose image is in another split too, under another name; the models do not learn from them."""

SWAP = {"left": "right", "right": "left", "Left": "Right", "Right": "Left"}


@dataclass(frozen=True)
class Archive:
    """Records and questions of a data folder, and the records' images, uint8 [n, 3, 224, 224], in the same order."""

    records: list[dict[str, Any]]
    questions: list[dict[str, Any]]
    images: Tensor

    def rows(self, *splits: str) -> np.ndarray[Any, np.dtype[np.int64]]:
        """The positions in ``records`` of those of these splits."""
        return np.array([row for row, record in enumerate(self.records) if record["split"] in splits])


def load_archive(data: Path, world: str | None = None, splits: tuple[str, ...] = ("train", "prefer")) -> Archive:
    """Read the records of a world (None: of all sources) and these splits, all but `TWINS`, with questions and images.

    Images are squashed to a square, as the encoder's preprocessing does.
    """
    everything = _read(data / "corpus.jsonl")
    belongs = world_filter(world, everything) if world else lambda record: True
    records = [r for r in everything if r["split"] in splits and r["id"] not in TWINS and belongs(r)]
    names = {record["id"] for record in records}
    questions = [question for question in _read(data / "questions.jsonl") if question["record"] in names]
    with ThreadPoolExecutor(2) as pool:
        arrays = list(pool.map(lambda record: _decode(data / record["image"]), records))
    return Archive(records, questions, torch.from_numpy(np.stack(arrays)))


def load_texts(data: Path, world: str) -> list[str]:
    """The texts of a world's train split, without its images."""
    everything = _read(data / "corpus.jsonl")
    belongs = world_filter(world, everything)
    return texts([r for r in everything if r["id"] not in TWINS and belongs(r)], _read(data / "questions.jsonl"))


def texts(records: list[dict[str, Any]], questions: list[dict[str, Any]]) -> list[str]:
    """The reports of the train split, and its questions with their answers."""
    train = {record["id"] for record in records if record["split"] == "train"}
    reports = [record["report"] for record in records if record["split"] == "train"]
    return reports + [f"{q['question']}\n{q['answer']}" for q in questions if q["record"] in train]


def frequent_questions(archive: Archive, at_least: int = 15) -> list[str]:
    """The texts of the yes/no questions that the train split asks at least so many times, enough to learn from."""
    train = {archive.records[row]["id"] for row in archive.rows("train")}
    counts = Counter(q["question"] for q in archive.questions if q["options"] and q["record"] in train)
    return sorted(text for text, count in counts.items() if count >= at_least)


def answer_matrix(archive: Archive, texts: list[str]) -> Tensor:
    """Answers, float [records, texts]: 1 for yes, 0 for no, NaN where the question was not asked about the record."""
    column = {text: index for index, text in enumerate(texts)}
    row = {record["id"]: index for index, record in enumerate(archive.records)}
    answers = torch.full((len(archive.records), len(texts)), torch.nan)
    for question in archive.questions:
        if question["options"] and question["question"] in column:
            answers[row[question["record"]], column[question["question"]]] = float(question["answer"] == "yes")
    return answers


def mirrored(text: str) -> str:
    """The text that describes the mirror image: left and right are exchanged."""
    return re.sub(r"\b([Ll]eft|[Rr]ight)\b", lambda match: SWAP[match[0]], text)


def augment(images: Tensor, pixels: int, mirror: Tensor, tissue: Tensor, strength: float = 1.0) -> Tensor:
    """Change images at random, as they could have been taken as well.

    Parameters
    ----------
    images
        uint8 [n, 3, h, w].
    pixels
        Side of the result.
    mirror
        Which images are mirrored, bool [n].
    tissue
        Which images show tissue, bool [n]: it has no up or down, so that they may be turned by any right angle.
    strength
        How much images are changed; 0 for not at all, but for mirroring and turning.

    Returns
    -------
    Tensor
        float [n, 3, pixels, pixels] in [-1, 1].
    """
    count = len(images)
    angle = (torch.rand(count) * 2 - 1) * 0.2 * strength
    angle = torch.where(tissue, torch.randint(0, 4, (count,)) * torch.pi / 2 + angle, angle)
    scale = 1 - torch.rand(count) * 0.35 * strength
    stretch = 1 + (torch.rand(count) * 2 - 1) * 0.1 * strength
    shift = (torch.rand(count, 2) * 2 - 1) * (1 - scale + 0.05 * strength)[:, None]
    flip = torch.where(mirror, -1.0, 1.0)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    theta = torch.stack(
        [
            torch.stack([cos * stretch * flip, -sin, shift[:, 0]], 1),
            torch.stack([sin * flip, cos / stretch, shift[:, 1]], 1),
        ],
        1,
    )
    grid = functional.affine_grid(theta, [count, 3, pixels, pixels], align_corners=False)
    views = functional.grid_sample(images.float() / 255, grid, padding_mode="reflection", align_corners=False)
    gamma = torch.exp(torch.randn(count, 1, 1, 1) * 0.15 * strength)
    tint = 1 + torch.randn(count, 3, 1, 1) * 0.06 * strength
    contrast = 1 + torch.randn(count, 1, 1, 1) * 0.15 * strength
    mean = views.mean((1, 2, 3), keepdim=True)
    views = ((views.clamp(0, 1) ** gamma - mean) * contrast + mean) * tint
    return views.clamp(0, 1) * 2 - 1


def plain(images: Tensor, pixels: int) -> Tensor:
    """Images as they are, only resized: uint8 [n, 3, h, w] to float [n, 3, pixels, pixels] in [-1, 1]."""
    size = (pixels, pixels)
    return functional.interpolate(images.float() / 255, size, mode="bicubic", antialias=True).clamp(0, 1) * 2 - 1


def _read(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _decode(path: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    with Image.open(path) as image:
        squashed = image.convert("RGB").resize((CACHE_PIXELS, CACHE_PIXELS), Image.Resampling.BICUBIC)
    return np.asarray(squashed).transpose(2, 0, 1)


def read_image(path: Path) -> Image.Image:
    """Read an image file as RGB."""
    with Image.open(path) as image:
        return image.convert("RGB")


def trunk_weights(encoder_folder: Path) -> dict[str, Tensor]:
    """The weights, in float32, of the CNN in a folder of open_clip's format."""
    state = load_file(encoder_folder / "open_clip_model.safetensors")
    prefix = "visual.trunk."
    return {name.removeprefix(prefix): value.float() for name, value in state.items() if name.startswith(prefix)}
