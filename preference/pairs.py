"""Preference pairs: a prompt about an image, the answer to prefer and the answer to avoid, as JSON lines.

One object a line, for a person to read and edit; images are named relative to a root folder. Pairs with another image
for the rejected answer, and weights, are not read or written yet.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from indexing import resolve_image
from titrate.errors import InputError
from titrate.files import read_jsonl, write_atomic

OVER_RELIANCE = "over-reliance"
KINDS = (OVER_RELIANCE,)
HELD_BACK = ("calibrate", "test")


@dataclass(frozen=True)
class PreferencePair:
    """One comparison to learn from.

    Attributes
    ----------
    id
        Unique in its file.
    question
        Id of the question it was mined from.
    image
        The image file.
    prompt
        The user's message, which follows the image: instructions, contexts, question.
    chosen, rejected
        The answer to prefer and the answer to avoid; never the same.
    k
        Number of contexts in the prompt.
    domain
        Where the question was routed to.
    kind
        What was found (METHODS, section 7): ``"over-reliance"``, right alone and wrong with contexts.
    patient, split
        None where the questions did not say.
    """

    id: str
    question: str
    image: Path
    prompt: str
    chosen: str
    rejected: str
    k: int
    domain: str
    kind: str = OVER_RELIANCE
    patient: str | None = None
    split: str | None = None


def write_pairs(pairs: Sequence[PreferencePair], path: Path, *, root: Path) -> None:
    """Write pairs as JSON lines, whole or not at all, images relative to the root.

    Raises
    ------
    InputError
        If there are none, an image is outside the root, or the file cannot be written.
    """
    if not pairs:
        raise InputError(f"there are no preference pairs to write to {path}; mine more questions")
    lines = []
    for pair in pairs:
        image = pair.image.resolve()
        if not image.is_relative_to(root.resolve()):
            raise InputError(f"image {pair.image} of pair {pair.id} is outside {root}; give the folder that holds it")
        values = {**asdict(pair), "image": image.relative_to(root.resolve()).as_posix()}
        lines.append(json.dumps(values, ensure_ascii=False) + "\n")
    write_atomic(path, "".join(lines))


def read_pairs(path: Path, *, root: Path | None = None) -> list[PreferencePair]:
    """Read and check preference pairs.

    Parameters
    ----------
    path
        What `write_pairs` wrote, perhaps edited. Further fields are ignored.
    root
        Folder of the images; the file's own folder by default.

    Raises
    ------
    InputError
        Naming the line: if a field is missing, chosen and rejected are the same, an answer is empty, the image is
        missing or outside the root, the kind is unknown, an id comes twice, or the pair comes from a held-back split.
    """
    folder = path.parent if root is None else root
    pairs: dict[str, PreferencePair] = {}
    for line, value in read_jsonl(path):
        where = f"{path}, line {line}"
        pair = _parse(value, where)
        try:
            pair = replace(pair, image=resolve_image(folder, str(pair.image)))
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
        if pair.id in pairs:
            raise InputError(f"{where}: id {pair.id} comes twice; give every pair its own")
        pairs[pair.id] = pair
    if not pairs:
        raise InputError(f"{path} holds no preference pairs; make some with `titrate mine`")
    return list(pairs.values())


def refuse_held_back(split: str | None, where: str) -> None:
    """Keep the data that certificates and reports rest on out of training.

    Raises
    ------
    InputError
        If the split is ``calibrate`` or ``test``.
    """
    if split in HELD_BACK:
        raise InputError(
            f"{where}: it is of the {split} split, which is never trained on; mine the prefer split instead"
        )


def _parse(value: dict[str, Any], where: str) -> PreferencePair:
    def text(name: str) -> str:
        content = value.get(name)
        if not isinstance(content, str) or not content.strip():
            raise InputError(f'{where}: "{name}" is missing, empty or not text')
        return content

    def optional(name: str) -> str | None:
        return text(name) if value.get(name) is not None else None

    k = value.get("k")
    if not isinstance(k, int) or isinstance(k, bool) or k < 1:
        raise InputError(f'{where}: "k" must be the number of contexts in the prompt, 1 or more')
    if text("kind") not in KINDS:
        raise InputError(f"{where}: kind {text('kind')!r} is unknown; it can be {', '.join(KINDS)}")
    if text("chosen").strip() == text("rejected").strip():
        raise InputError(f"{where}: chosen and rejected are both {text('chosen')!r}; nothing can be learnt from that")
    refuse_held_back(optional("split"), where)
    return PreferencePair(
        id=text("id"),
        question=text("question"),
        image=Path(text("image")),
        prompt=text("prompt"),
        chosen=text("chosen").strip(),
        rejected=text("rejected").strip(),
        k=k,
        domain=text("domain"),
        kind=text("kind"),
        patient=optional("patient"),
        split=optional("split"),
    )
