"""Settings from titrate.toml: a table for each command, a key for each of its options."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from titrate.errors import InputError

DEFAULT = Path("titrate.toml")


def read_settings(path: Path | None, options: Mapping[str, set[str]]) -> dict[str, Any]:
    """Read a settings file, refusing what no command knows.

    Parameters
    ----------
    path
        The file; None for titrate.toml in the working directory, where there is one.
    options
        The option names of each command, with underscores.

    Returns
    -------
    dict
        Values by command and option.

    Raises
    ------
    InputError
        If the file is missing, is not TOML, or holds an unknown table or key.
    """
    if path is None:
        if not DEFAULT.exists():
            return {}
        path = DEFAULT
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; check the path") from error
    except ValueError as error:
        raise InputError(f"{path} is not TOML: {error}") from error
    for command, table in tables.items():
        if command not in options or not isinstance(table, dict):
            raise InputError(f"{path}: {command} is not a command; tables can be {', '.join(sorted(options))}")
        for key in table:
            if key.replace("-", "_") not in options[command]:
                known = ", ".join(sorted(name.replace("_", "-") for name in options[command]))
                raise InputError(f"{path}: [{command}] has no option {key}; it can be {known}")
    return {
        command: {key.replace("-", "_"): value for key, value in table.items()} for command, table in tables.items()
    }
