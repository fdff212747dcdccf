"""How a certificate stands in its file: JSON, sealed by a digest."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from titrate import InputError, hash_json, parse_json, read_text

REMEDY = "run calibrate again"
"""What a file that cannot be used asks for."""


def digest(content: Mapping[str, Any]) -> str:
    """Hash everything but the time, so that the same calibration gives the same digest."""
    return hash_json({name: item for name, item in content.items() if name not in ("created", "digest")})


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
    """Whether the digest fits the rest."""
    return bool(content["digest"] == digest(content))


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    InputError
        If the file is none.
    """
    try:
        value = parse_json(read_text(path))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; check the path or {REMEDY}") from error
    except ValueError as error:
        raise InputError(f"{path} is not JSON that can be read ({error}); {REMEDY}") from error
    if not isinstance(value, dict):
        raise InputError(f"{path} is not a certificate; {REMEDY}")
    return value
