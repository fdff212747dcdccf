"""What counts as independent in a calibration: patients, or what stands for them where nobody is named."""

import warnings
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from calibration import source_key
from rag.questions import Question
from titrate import TitrateWarning


def name_unit(questions: Sequence[Question]) -> str:
    """``patient``, ``study``, ``image``, or ``case`` for a mixture; told where they are not all patients.

    Also told: images that are said to be of several patients, patients of several sources, and, where neither patient
    nor study is named, files that are copies of each other, byte for byte.
    """
    _tell_of_shared_images(questions)
    _tell_of_shared_patients(questions)
    without = [question for question in questions if question.patient is None]
    if not without:
        return "patient"
    named = sum(question.study is not None for question in without)
    _warn(
        f"{len(without)} of {len(questions)} questions name no patient: their studies ({named}) or images count as "
        "independent, which they are not where one patient has several"
    )
    if len(without) < len(questions) or 0 < named < len(without):
        return "case"
    return "study" if named else "image"


def _tell_of_shared_images(questions: Sequence[Question]) -> None:
    owners: dict[Path, set[str]] = {}
    for question in questions:
        owners.setdefault(question.image, set()).add(question.unit)
    shared = [image for image, units in owners.items() if len(units) > 1]
    if shared:
        _warn(
            f"{len(shared)} images, such as {shared[0].name}, are said to be of several patients or studies, which "
            "count as independent; mend their ids if they are one"
        )
    unnamed = {question.image for question in questions if question.patient is None and question.study is None}
    copies = len(unnamed) - len({sha256(image.read_bytes()).digest() for image in unnamed})
    if copies:
        _warn(
            f"{copies} images without patient or study are copies of others, byte for byte, and count as independent; "
            "name whose they are"
        )


def _tell_of_shared_patients(questions: Sequence[Question]) -> None:
    """Sources that number their patients each from 1 would make one patient of several."""
    sources: dict[str, set[str]] = {}
    for question in questions:
        if question.patient is not None and question.source is not None:
            sources.setdefault(question.patient, set()).add(source_key(question.source))
    several = sum(len(own) > 1 for own in sources.values())
    if several:
        _warn(
            f"{several} patients have questions of several sources and count as one each; if they are others in each "
            "source, put the source into their ids"
        )


def _warn(message: str) -> None:
    warnings.warn(message, TitrateWarning, stacklevel=5)
