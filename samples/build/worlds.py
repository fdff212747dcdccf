"""Two worlds: the sources on which somebody else's model is trained, apart from those of the archive it has never seen.

Patients of a world's train split are halved. The image tower learns on the first half, reading on the second: on images
that the tower knows, the answer is in the image already, and the reports would go unread (as in stacking, where the
second model learns from predictions that the first one makes out of sample).
"""

import hashlib
import re
from collections.abc import Callable, Collection
from pathlib import PurePosixPath
from typing import Any

WORLDS: dict[str, tuple[str, ...]] = {
    "a": ("medpix2", "odir-fundus", "lc25000-lung", "covid-cxr", "busi-ultrasound"),
    "b": ("vqa-rad", "kermany-cxr", "bbbc038-nuclei", "bccd-blood"),
}
"""Sources that models of a world are trained on; the archive that it has never seen is the other world's sources."""


def source_of(record: dict[str, Any]) -> str:
    """Name the source of a record or question: the folder under images/ that holds its image."""
    return PurePosixPath(record["image"]).parts[1]


def is_first_half(patient: str) -> bool:
    """Whether a patient is in the half that the image tower learns from; by a hash, so that no order plays a part."""
    return hashlib.sha256(f"half:{patient}".encode()).digest()[0] < 128


def world_filter(world: str, records: Collection[dict[str, Any]]) -> Callable[[dict[str, Any]], bool]:
    """Tell which records a world's models may learn from.

    VQA-RAD's images are MedPix's: those that both hold under one number are in neither world's training.
    """
    sources = WORLDS[world]
    numbers = [{_number(r) for r in records if source_of(r) == name} for name in ("vqa-rad", "medpix2")]
    both = (numbers[0] & numbers[1]) - {""}
    return lambda record: source_of(record) in sources and _number(record) not in both


def _number(record: dict[str, Any]) -> str:
    found = re.search(r"synpic(\d+)", record["image"])
    return found[1] if found and source_of(record) in {"vqa-rad", "medpix2"} else ""
