"""Preference pairs as files: JSON lines of our own, for a person to read and edit, and the JSON of two predecessors.

RULE (arXiv 2407.05131) and MMed-RAG (arXiv 2410.13085) released lists of objects with ``image``, ``conversations`` and
``rejected_conversations``, and, in MMed-RAG's, ``rejected_noised`` where the rejected answer goes with a noised image.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from indexing import resolve_image
from preference.noise import Noise
from preference.pairs import COPYING, UNSPECIFIED, PreferencePair
from titrate import InputError, normal_id, parse_json, read_jsonl, read_text, unprintable, write_atomic

_PLACEHOLDER = "<image>"
_CONTEXTS = re.compile(r"(\d+) reference report")


@dataclass(frozen=True)
class SkippedPair:
    """A pair that was left out.

    Attributes
    ----------
    where
        Which pair it was: the line or place in its file, or its id.
    reason
        What is wrong with it.
    """

    where: str
    reason: str


def write_pairs(pairs: Sequence[PreferencePair], path: Path, *, root: Path) -> None:
    """Write pairs as JSON lines: the whole file, or nothing if it cannot be finished.

    Parameters
    ----------
    pairs
        At least one.
    path
        The file to write, or to replace.
    root
        Folder of the images; the file names each image relative to it.

    Raises
    ------
    InputError
        If there are no pairs, an image is outside the root, or the file cannot be written.
    """
    if not pairs:
        raise InputError(f"there are no preference pairs to write to {path}; mine more questions")
    lines = []
    for pair in pairs:
        values = asdict(pair)
        for name in ("image", "rejected_image"):
            if values[name] is not None:
                values[name] = _relative(values[name], root, pair.id)
        lines.append(json.dumps(values, ensure_ascii=False) + "\n")
    write_atomic(path, "".join(lines), private=True)


def read_pairs(
    path: Path, *, root: Path | None = None, skip: Callable[[SkippedPair], None] | None = None
) -> list[PreferencePair]:
    """Read and check preference pairs.

    Parameters
    ----------
    path
        A file that `write_pairs` wrote, perhaps edited since, or a ``.json`` list as RULE and MMed-RAG released them.
        Fields that a pair does not have are ignored.
    root
        Folder of the images; the file's own folder by default.
    skip
        Called with each bad pair, which is then left out. Without it, the first bad pair is an error.

    Raises
    ------
    InputError
        If a field is missing, an image is missing or outside the root, an id comes twice, or a pair is not sound (see
        `PreferencePair`); the message names the line, or the place in the list. Also if no pair is left.
    """
    folder = path.parent if root is None else root
    released = path.suffix.lower() == ".json"
    pairs: dict[str, PreferencePair] = {}
    for where, value in _released(path) if released else _lines(path):
        try:
            pair = _parse_released(value, len(pairs), folder) if released else _parse(value, folder)
            if pair.id in pairs:
                raise InputError(f"id {pair.id} comes twice; give every pair its own")
        except InputError as error:
            if skip is None:
                raise InputError(f"{where}: {error}") from error
            skip(SkippedPair(where, str(error)))
        else:
            pairs[pair.id] = pair
    if not pairs:
        raise InputError(f"{path} holds no preference pairs that can be used; make some with `titrate mine`")
    return list(pairs.values())


def _relative(image: Path, root: Path, name: str) -> str:
    inside = image.resolve()
    if not inside.is_relative_to(root.resolve()):
        raise InputError(f"image {image} of pair {name} is outside {root}; give the folder that holds it")
    return inside.relative_to(root.resolve()).as_posix()


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for line, value in read_jsonl(path):
        yield f"{path}, line {line}", value


def _released(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        values = parse_json(read_text(path))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; check the path") from error
    except ValueError as error:
        raise InputError(f"{path} is not JSON; give JSON lines (.jsonl) or a released alignment file") from error
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise InputError(f"{path} is not a list of objects, as released alignment files are")
    for number, value in enumerate(values, start=1):
        yield f"{path}, pair {number}", value


def _parse(value: dict[str, Any], folder: Path) -> PreferencePair:
    def optional(name: str) -> str | None:
        return _name(value, name) if value.get(name) is not None else None

    k, weight = value.get("k"), value.get("weight", 1.0)
    if k is not None and (not isinstance(k, int) or isinstance(k, bool) or k < 0):
        raise InputError('"k" must be the number of contexts in the prompt, 0 or more')
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        raise InputError('"weight" must be a number above 0')
    rejected_image = optional("rejected_image")
    return PreferencePair(
        id=_name(value, "id"),
        image=resolve_image(folder, _text(value, "image")),
        prompt=_text(value, "prompt"),
        chosen=_text(value, "chosen").strip(),
        rejected=_text(value, "rejected").strip(),
        kind=optional("kind") or UNSPECIFIED,
        rejected_image=None if rejected_image is None else resolve_image(folder, rejected_image),
        rejected_noise=_noise(value.get("rejected_noise")),
        weight=float(weight),
        k=k,
        question=optional("question"),
        domain=optional("domain"),
        patient=normal_id(optional("patient")),
        study=normal_id(optional("study")),
        split=optional("split"),
    )


def _parse_released(value: dict[str, Any], number: int, folder: Path) -> PreferencePair:
    """Read one question with two answers.

    Parameters
    ----------
    value
        The object in the list.
    number
        How many pairs were read before it. Identifiers repeat in these files, and the number makes them unique.
    folder
        Folder of the images.
    """
    asked, chosen = _turns(value, "conversations")
    asked_too, rejected = _turns(value, "rejected_conversations")
    if asked != asked_too:
        raise InputError("chosen and rejected answer different questions; only one prompt can be compared")
    known = _shown("id", str(value["id"])) if "id" in value else None
    contexts = _CONTEXTS.search(asked)
    noised = bool(value.get("rejected_noised"))
    return PreferencePair(
        id=f"{known or 'pair'}#{number}",
        image=resolve_image(folder, _text(value, "image")),
        prompt=asked,
        chosen=chosen,
        rejected=rejected,
        kind=COPYING if noised and chosen == rejected else UNSPECIFIED,
        rejected_noise=Noise(seed=number) if noised else None,
        k=int(contexts.group(1)) if contexts else 0,
        question=known,
    )


def _turns(value: dict[str, Any], name: str) -> tuple[str, str]:
    turns = value.get(name)
    if not (
        isinstance(turns, list)
        and len(turns) == 2
        and all(isinstance(turn, dict) for turn in turns)
        and [turn.get("from") for turn in turns] == ["human", "gpt"]
    ):
        raise InputError(f'"{name}" must be one question of "human" and one answer of "gpt"')
    asked, answer = (_text(turn, "value") for turn in turns)
    return asked.replace(_PLACEHOLDER, "").strip(), answer.strip()


def _text(value: dict[str, Any], name: str) -> str:
    content = value.get(name)
    if not isinstance(content, str) or not content.strip():
        raise InputError(f'"{name}" is missing, empty or not text')
    return content


def _name(value: dict[str, Any], name: str) -> str:
    return _shown(name, _text(value, name))


def _shown(name: str, text: str) -> str:
    if hidden := unprintable(text):
        raise InputError(f'"{name}" holds {hidden}, a character that does not show; rename it')
    return text


def _noise(value: Any) -> Noise | None:
    if value is None:
        return None
    try:
        region = value.get("region")
        return Noise(**{**value, "region": None if region is None else tuple(region)})
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(
            '"rejected_noise" must be an object with strength, seed, side and region (left, top, right, bottom)'
        ) from error
