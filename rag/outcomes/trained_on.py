"""Whom a model was trained on: a list beside its weights, and who of a question file is in it.

A model has seen the answers about the patients it was trained on, so that nothing measured on them holds for others.
"""

import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from functools import cache
from hashlib import scrypt, sha256
from pathlib import Path

import numpy as np

from indexing import ImageView, load_image, perceptual_hash, same_picture
from rag.questions import Query
from titrate import InputError, TitrateWarning, hash_files, normal_id, parse_json, read_text, write_atomic

TRAINED_ON = "trained_on.json"
_SCHEMA_VERSION = 2
_COST = 2**12
"""Of scrypt: 4 MiB and about 10 ms an id. With all numbers of seven digits that takes more than a day of one core."""
_SALT = b"titrate: whom an adapter was trained on"
"""One for all lists, so that those of a model and of its adapter can be joined."""


@dataclass(frozen=True, order=True)
class TrainedImage:
    """An image that a model was trained on, and whose it is.

    Attributes
    ----------
    patient, study
        `slow_hash` of each; empty where it is not known.
    content
        SHA-256 of the file.
    picture
        `perceptual_hash` of the image, as hexadecimal digits.
    """

    patient: str
    study: str
    content: str
    picture: str

    @classmethod
    def of(cls, image: Path, view: ImageView, patient: str | None = None, study: str | None = None) -> "TrainedImage":
        """Read an image.

        Raises
        ------
        InputError
            If it cannot be read.
        """
        picture = perceptual_hash(load_image(image, view)).hex()
        return cls(_hashed(patient), _hashed(study), sha256(image.read_bytes()).hexdigest(), picture)


def write_trained_on(folder: Path, images: Sequence[TrainedImage]) -> None:
    """Write the list beside the weights, which are there already and to which it is tied.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    rows = [asdict(image) for image in sorted(set(images))]
    content = {"schema_version": _SCHEMA_VERSION, "weights": _weights(folder), "images": rows}
    write_atomic(folder / TRAINED_ON, json.dumps(content, indent=1) + "\n", private=True)


def read_trained_on(folder: Path) -> list[TrainedImage] | None:
    """The list beside weights; None where there is none, or the weights are others by now.

    Raises
    ------
    InputError
        If the list cannot be read.
    """
    path = folder / TRAINED_ON
    if not os.path.isfile(path):
        return None
    names = {field.name for field in fields(TrainedImage)}
    try:
        value = parse_json(read_text(path))
        images = [TrainedImage(**row) for row in value["images"]]
        sound = value["schema_version"] == _SCHEMA_VERSION and all(
            len(bytes.fromhex(getattr(image, name))) == 32
            or (name in ("patient", "study") and not getattr(image, name))
            for image in images
            for name in names
        )
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise InputError(f"cannot read {path}; train again, or delete it to go on without it") from error
    if not sound:
        raise InputError(f"{path} is malformed; train again, or delete it to go on without it")
    return images if value["weights"] == _weights(folder) else None


def refuse_trained_on(questions: Sequence[Query], folders: Mapping[str, Path], view: ImageView) -> dict[str, set[str]]:
    """Refuse questions about patients that a model was trained on.

    Returns
    -------
    dict
        What could be compared, by name; no patients, since none is shared.

    Raises
    ------
    InputError
        If some are, saying how many; also as `find_trained_on`.
    """
    found = find_trained_on(questions, folders, view)
    for name, units in found.items():
        if units:
            raise InputError(
                f"{name} was trained on {len(units)} of the {_count(questions)} patients asked about; ask about "
                "others, or train without them"
            )
    return {f"{name}'s training": set() for name in found}


def tell_trained_on(
    questions: Sequence[Query], folders: Mapping[str, Path], view: ImageView, split: str, spoilt: str
) -> None:
    """Warn where questions of a split are about patients that a model was trained on, and say what that spoils.

    Raises
    ------
    InputError
        As `find_trained_on`.
    """
    for name, units in find_trained_on(questions, folders, view).items():
        if units:
            warnings.warn(
                f"{name} was trained on {len(units)} of the {_count(questions)} patients of split {split}: {spoilt}",
                TitrateWarning,
                stacklevel=2,
            )


def find_trained_on(questions: Sequence[Query], folders: Mapping[str, Path], view: ImageView) -> dict[str, set[str]]:
    """Find out which questions are about patients that a model was trained on.

    Images are compared where a question and an image that was trained on do not both name the patient, or both the
    study; see `indexing.perceptual_hash`.

    Parameters
    ----------
    questions
        With whose patients they are compared.
    folders
        Of weights, by what they are called: ``"the model"`` and ``"the adapter"``. A warning tells of an adapter of
        which it is not known what it was trained on, and of weights that are not those of their list; of a model
        without a list, nothing is said.
    view
        How the images are shown.

    Returns
    -------
    dict
        By name, of those that could be compared: the units of the questions that it was trained on.

    Raises
    ------
    InputError
        If a list or an image cannot be read.
    """
    seen: dict[Path, TrainedImage] = {}

    def look(image: Path) -> TrainedImage:
        if image not in seen:
            seen[image] = TrainedImage.of(image, view)
        return seen[image]

    found: dict[str, set[str]] = {}
    for name, folder in folders.items():
        images = read_trained_on(folder)
        if images is None:
            if name == "the adapter" or os.path.exists(folder / TRAINED_ON):
                warnings.warn(
                    f"it is not known what {name} {folder} was trained on; make sure that it was on other patients",
                    TitrateWarning,
                    stacklevel=3,
                )
            continue
        found[name] = {question.unit for question in _met(questions, images, look)}
    return found


def _count(questions: Sequence[Query]) -> int:
    return len({question.unit for question in questions})


def _met(
    questions: Sequence[Query], images: Sequence[TrainedImage], look: Callable[[Path], TrainedImage]
) -> list[Query]:
    """The questions about a patient, a study or a picture among the images; where both name a patient, that decides."""
    patients = {image.patient for image in images} - {""}
    studies = {image.study for image in images} - {""}
    studies_alone = {image.study for image in images if not image.patient} - {""}
    without_ids: dict[tuple[bool, bool], list[TrainedImage]] = {}
    found = []
    with ThreadPoolExecutor() as pool:  # scrypt leaves the other threads alone
        names = {name for question in questions for name in (question.patient, question.study) if name is not None}
        list(pool.map(slow_hash, names))
    for question in questions:
        patient, study = _hashed(question.patient), _hashed(question.study)
        kind = bool(patient), bool(study)
        if kind not in without_ids:  # those that share no kind of id with such a question
            without_ids[kind] = [
                image for image in images if not ((patient and image.patient) or (study and image.study))
            ]
        pictures = without_ids[kind]
        if (
            patient in patients
            or study in (studies_alone if patient else studies)
            or (pictures and _same(look(question.image), pictures))
        ):
            found.append(question)
    return found


def _same(image: TrainedImage, others: Sequence[TrainedImage]) -> bool:
    """Whether one of the others is the same file, or a copy of the picture."""
    if any(image.content == other.content for other in others):
        return True
    hashes = np.frombuffer(bytes.fromhex("".join(other.picture for other in others)), np.uint8).reshape(len(others), -1)
    return bool(same_picture(hashes, bytes.fromhex(image.picture)).any())


def _hashed(name: str | None) -> str:
    return "" if name is None else slow_hash(name)


@cache
def slow_hash(name: str) -> str:
    """Of a patient's or study's `normal_id`, 64 hex digits, by scrypt (RFC 7914).

    The list goes wherever the adapter goes, and ids are short: with SHA-256 all numbers of seven digits can be tried in
    seconds. It has to be found again by whoever knows the id, so it cannot have a key.
    """
    plain = (normal_id(name) or name).encode("utf-8", "surrogatepass")
    return scrypt(plain, salt=_SALT, n=_COST, r=8, p=1, dklen=32).hex()


def _weights(folder: Path) -> str:
    """SHA-256 of the weights in a folder."""
    return hash_files(sorted(folder.glob("*.safetensors")))
