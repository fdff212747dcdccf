"""Writes whole models, as `rag.TransformersMLLM.open` opens them without an adapter."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from preference.training.card import CARD
from rag import TrainedImage, write_trained_on
from titrate import InputError, write_atomic

_LONGEST_NAME = 255


def refuse_taken(folder: Path) -> None:
    """Make sure that a model can be written to a folder, and would overwrite nothing there.

    Raises
    ------
    InputError
        If the folder exists and is not empty, or the folder around it cannot be made.
    """
    if len(os.fsencode(_part(folder).name)) > _LONGEST_NAME:
        raise InputError(f"the name {folder.name[:40]}… is too long; give a shorter one")
    if os.path.exists(folder) and (not os.path.isdir(folder) or any(folder.iterdir())):
        raise InputError(f"{folder} is taken; give another folder, or empty it first")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make {folder.parent}: {error.strerror}; give another folder") from error


def write_full_model(model: Any, processor: Any, folder: Path, card: str, seen: Sequence[TrainedImage]) -> None:
    """Write a model with its processor and its model card: the whole folder, or nothing if it cannot be finished.

    Parameters
    ----------
    model
        A transformers model, without an adapter around it.
    processor
        The transformers processor that prepares texts and images for it.
    folder
        The folder to write, which is empty or does not exist.
    card
        The text of its README.
    seen
        What it was trained on.
    """
    part = _part(folder)
    shutil.rmtree(part, ignore_errors=True)
    model.save_pretrained(str(part))
    processor.save_pretrained(str(part))
    write_atomic(part / CARD, card)
    write_trained_on(part, seen)
    os.replace(part, folder)


def _part(folder: Path) -> Path:
    """Where a model lies until it is whole."""
    return folder.with_name(f".{folder.name}.part")
