"""The archive that a world's models have never seen: the other world's sources, all splits."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from samples.build.worlds import WORLDS, source_of
from titrate import InputError, hash_json, read_jsonl, write_atomic

OTHER = {"a": "b", "b": "a"}
"""The world whose sources are a world's archive."""


@dataclass(frozen=True)
class Archive:
    """The records and questions of some sources of the data.

    Attributes
    ----------
    world
        Whose models have not seen it.
    root
        Folder that image paths are relative to.
    corpus, questions
        The files.
    digest
        SHA-256 of what they hold.
    sources
        Of each question by id, the source that its image is of.
    """

    world: str
    root: Path
    corpus: Path
    questions: Path
    digest: str
    sources: Mapping[str, str]


def write_archive(data: Path, world: str, work: Path) -> Archive:
    """Write the corpus and questions of the other world's sources into a folder named by what they hold.

    Parameters
    ----------
    data
        Folder with ``corpus.jsonl``, ``questions.jsonl`` and ``images``, which stay where they are.
    world
        One of `WORLDS`.
    work
        The folder ``archives`` in it is written to.

    Raises
    ------
    InputError
        If a file is unsound, a source is of neither world, or the archive would be empty.
    """
    wanted = WORLDS[OTHER[world]]
    corpus, questions = (_of_sources(data / f"{name}.jsonl", wanted) for name in ("corpus", "questions"))
    digest = hash_json([corpus, questions])
    folder = work / "archives" / f"{world}-{digest[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("corpus", corpus), ("questions", questions)):
        path = folder / f"{name}.jsonl"
        if not path.exists():  # it is written whole or not at all
            write_atomic(path, "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows), private=True)
    sources = {str(row["id"]): source_of(row) for row in questions}
    return Archive(world, data, folder / "corpus.jsonl", folder / "questions.jsonl", digest, sources)


def _of_sources(path: Path, wanted: Sequence[str]) -> list[dict[str, Any]]:
    known = {name for sources in WORLDS.values() for name in sources}
    kept = []
    for line, value in read_jsonl(path):
        image = PurePosixPath(str(value.get("image")))
        if len(image.parts) < 3 or image.parts[0] != "images" or source_of(value) not in known:
            raise InputError(
                f"{path}, line {line}: the image is of no source that a world names (images/SOURCE/...); name it in "
                "samples/build/worlds.py, or leave the line out"
            )
        if not value.get("id"):
            raise InputError(f"{path}, line {line}: no id, by which a question's source is known; give it one")
        if source_of(value) in wanted:
            kept.append(value)
    if not kept:
        raise InputError(f"{path} holds nothing of {', '.join(wanted)}, the archive of this world; give other data")
    return kept
