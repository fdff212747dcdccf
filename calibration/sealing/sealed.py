"""How a certificate stands in its file: JSON of bounded size, sealed by a hash."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from calibration.sealing.signature import check_signature
from titrate import InputError, hash_json, open_file, parse_json

REMEDY = "run calibrate again"
"""What a file that cannot be used asks for."""

MOST_BYTES = 16 * 2**20
"""Of a certificate's file: 5,000 policies take 2 MB, and a wording of a question 70 bytes."""


def digest(content: Mapping[str, Any]) -> str:
    """Hash everything but the time, so that the same calibration gives the same digest."""
    return hash_json({name: item for name, item in content.items() if name not in ("created", "digest", "seal")})


def seal(content: Mapping[str, Any]) -> str:
    """Hash everything there is, the time and the digest too."""
    return hash_json({name: item for name, item in content.items() if name != "seal"})


def render(value: Any, margin: str = "\n") -> str:
    """JSON with a line for each entry of an object and for each item of a list, whatever the item holds."""
    if isinstance(value, dict) and value:
        entries = (f"{margin} {render(name)}: {render(item, margin + ' ')}" for name, item in value.items())
        return "{" + ",".join(entries) + margin + "}"
    if isinstance(value, list | tuple) and value:
        return "[" + ",".join(f"{margin} {_line(item)}" for item in value) + margin + "]"
    return _line(value)


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def intact(content: Mapping[str, Any]) -> bool:
    """Whether the seal fits the rest, and the digest."""
    return bool(content["seal"] == seal(content) and content["digest"] == digest(content))


def read_object(path: Path, signed_by: str | None = None) -> dict[str, Any]:
    """Read a JSON object, once its signature was checked if a key is given; see `check_signature`.

    Raises
    ------
    InputError
        If the file is not signed by that key, is none, is larger than `MOST_BYTES`, or says a thing twice.
    """
    content = read_file(path)
    if signed_by is not None:
        check_signature(path, content, signed_by)
    try:
        value = parse_json(content, strict=True)
    except ValueError as error:
        raise InputError(f"{path} is not JSON that can be read ({error}); {REMEDY}") from error
    if not isinstance(value, dict):
        raise InputError(f"{path} is not a certificate; {REMEDY}")
    return value


def read_file(path: Path) -> bytes:
    """Read the bytes of a certificate's file.

    Raises
    ------
    InputError
        If it cannot be read, is no regular file, or is larger than `MOST_BYTES`.
    """
    try:
        with open_file(path) as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; check the path or {REMEDY}") from error
    if len(content) > MOST_BYTES:
        raise InputError(f"{path} is larger than {MOST_BYTES >> 20} MiB, which no certificate is; {REMEDY}")
    return content
