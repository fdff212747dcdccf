"""What a self-check found, kept in the user's cache folder: the same model on the same machine is checked once.

A file that is not this user's own, can be written by others, or is damaged counts as none, and where none can be kept
the check is made again: nothing here is an error.
"""

import json
import os
import stat
from dataclasses import asdict, dataclass
from pathlib import Path

from titrate import InputError, parse_json, write_atomic

_SCHEMA_VERSION = 2
"""Raised whenever models are checked, or scores computed, otherwise than before."""

_MOST_BYTES = 65536


@dataclass(frozen=True)
class Checked:
    """What was found about a model.

    Parameters
    ----------
    batch, append, causal
        As of `Ways`.
    note
        What is told of these ways behind the model's name, which may be another then; empty where they are usual.
    nested
        Why contexts cannot be shared; empty if they can, None if that was not checked yet.
    """

    batch: bool
    append: bool
    causal: bool
    note: str = ""
    nested: str | None = None


def recall(key: str) -> Checked | None:
    """What was found under a key, a SHA-256 of all that it depends on; None if nothing is known."""
    try:
        path = _path(key)
        for each, kind in ((path.parent, stat.S_ISDIR), (path, stat.S_ISREG)):
            found = os.lstat(each)
            if not kind(found.st_mode) or found.st_mode & 0o022 or found.st_uid != os.getuid():
                return None
        if found.st_size > _MOST_BYTES:
            return None
        value = parse_json(path.read_bytes())
        if not isinstance(value, dict) or value.pop("schema_version", None) != _SCHEMA_VERSION:
            return None
        checked = Checked(**value)
    except (
        OSError,
        RuntimeError,
        ValueError,
        TypeError,
        AttributeError,
        InputError,
    ):  # no home, no getuid, no such fields
        return None
    ways = (checked.batch, checked.append, checked.causal)
    sound = all(isinstance(way, bool) for way in ways) and isinstance(checked.note, str)
    return checked if sound and isinstance(checked.nested, str | None) else None


def remember(key: str, checked: Checked) -> None:
    """Keep what was found, if that can be."""
    try:
        path = _path(key)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomic(path, json.dumps({"schema_version": _SCHEMA_VERSION, **asdict(checked)}) + "\n", private=True)
    except (OSError, RuntimeError, InputError):
        return


def _path(key: str) -> Path:
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "titrate" / "checks" / f"{key}.json"
