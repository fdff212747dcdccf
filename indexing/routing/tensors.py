"""Tensors with a row for each domain, in a safetensors file: how the classifier and the novelty detector are kept."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from titrate import InputError, parse_json, write_atomic

Tensors = dict[str, NDArray[Any]]


def save_tensors(path: Path, domains: list[str], tensors: Tensors) -> None:
    """Write tensors and the domains that their rows belong to, whole or not at all.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    # safetensors writes the buffer as it lies in memory, and some come from solvers column by column.
    ordered = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    write_atomic(path, save(ordered, metadata={"domains": json.dumps(domains)}))


def load_tensors(path: Path, kind: str, names: tuple[str, ...]) -> tuple[list[str], Tensors]:
    """Read what `save_tensors` wrote; shapes are for the caller to check.

    Parameters
    ----------
    kind
        What the file holds, for messages.
    names
        The tensors that it must hold.

    Raises
    ------
    InputError
        If the file is missing, is not of this kind, or holds numbers that are not.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            domains = parse_json((file.metadata() or {})["domains"])
            tensors = {name: file.get_tensor(name) for name in names}
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"cannot read {kind} {path}; build the index again") from error
    named = isinstance(domains, list) and domains and all(isinstance(domain, str) for domain in domains)
    if not named or any(np.isnan(tensor).any() for tensor in tensors.values()):
        raise malformed(path, kind)
    return domains, tensors


def malformed(path: Path, kind: str) -> InputError:
    """The error for a file that can be read but makes no sense."""
    return InputError(f"{kind} {path} is malformed; build the index again")
