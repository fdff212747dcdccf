"""Settings from a file: a table for each command, a key for each of its options, named as on the command line."""

import tomllib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from titrate.errors import InputError, TitrateWarning

DEFAULT = Path("titrate.toml")
LARGEST = 1 << 20
"""Bytes that a settings file may have."""


@dataclass(frozen=True)
class Setting:
    """An option that a settings file can set.

    Attributes
    ----------
    parameter
        Its name in the command's code.
    repeatable
        Whether it can be given several times, and its value so be a list.
    personal
        Whether only the user may set it, by the command line, the environment or a file named with ``--config``: it
        names a model, code, a server or a key, or what is written or deleted. A file that merely lies in the working
        directory may be a stranger's.
    """

    parameter: str
    repeatable: bool = False
    personal: bool = False


def read_settings(path: Path | None, options: Mapping[str, Mapping[str, Setting]]) -> dict[str, Any]:
    """Read a settings file, refusing what no command knows.

    Parameters
    ----------
    path
        The file, as the user names it; None for titrate.toml in the working directory, where there is one. What that
        one sets is told in a warning, and nothing personal is taken from it.
    options
        The options of each command by their names on the command line, without the leading hyphens.

    Returns
    -------
    dict
        Values by command and parameter.

    Raises
    ------
    InputError
        If the file is missing, is not TOML, or holds a table, a key or a value that it may not hold.
    """
    found = path is None
    if path is None:
        if not DEFAULT.exists():
            return {}
        path = DEFAULT
    tables = _tables(path)
    values: dict[str, dict[str, Any]] = {}
    for command, table in tables.items():
        if command not in options or not isinstance(table, dict):
            raise InputError(f"{path}: {command} is not a command; tables can be {', '.join(sorted(options))}")
        for key, value in table.items():
            setting = options[command].get(key.replace("_", "-"))
            if setting is None:
                known = ", ".join(sorted(options[command]))
                raise InputError(f"{path}: [{command}] has no option {key}; it can be {known}")
            if found and setting.personal:
                raise InputError(
                    f"{path}: [{command}] {key} is taken only from a file that you name: give --config {path} if you "
                    "trust it, or remove the line"
                )
            values.setdefault(command, {})[setting.parameter] = _checked(value, setting, f"{path}: [{command}] {key}")
    if found:
        told = "; ".join(f"[{command}] {', '.join(table)}" for command, table in tables.items() if table)
        warnings.warn(f"{path} in this folder sets {told or 'nothing'}", TitrateWarning, stacklevel=2)
    return values


def _tables(path: Path) -> dict[str, Any]:
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise InputError(f"{path} is no file; remove it or name another with --config")
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise InputError(f"{path} is larger than a settings file can be, 1 MiB; check the path")
        return tomllib.loads(data.decode())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; check the path") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not TOML: {error}") from error


def _checked(value: Any, setting: Setting, where: str) -> Any:
    """A value as an option takes it: text, a number or a truth value, or a list of these if it is repeatable."""
    values = value if isinstance(value, list) and setting.repeatable else [value]
    if not all(isinstance(each, str | int | float) for each in values):
        wanted = "text, a number, true or false" + (", or a list of these" if setting.repeatable else "")
        raise InputError(f"{where} must be {wanted}")
    return values if setting.repeatable else value
