"""Image files: only inside the root that they are named in, only ordinary files, only up to a size."""

import os
import stat
from pathlib import Path

from indexing.images.limits import MAX_BYTES
from titrate import InputError


def resolve_image(root: Path, relative: str) -> Path:
    """The image's real path, certain to lie inside the root.

    Parameters
    ----------
    root
        Folder that holds the corpus's images.
    relative
        Path as the corpus states it. Symbolic links are followed first and judged by where they lead.

    Raises
    ------
    InputError
        If it is a URL, leads outside the root, or no such file exists.
    """
    if "://" in relative or relative.startswith("data:"):
        raise InputError(f"image {relative[:80]} is a URL; only files inside the corpus root are read")
    try:
        path = (root / relative).resolve()
        inside = path.is_relative_to(root.resolve())
        found = inside and path.exists()
    except (OSError, ValueError, RuntimeError) as error:  # too long, a NUL byte, a loop of links
        raise InputError(f"image path {relative[:80]!r} is not valid") from error
    if not inside:
        raise InputError(f"image {relative} leads outside the corpus root; move it inside or set another root")
    if not found:
        raise InputError(f"image {relative} does not exist; check the path, or name its folder with --root")
    return path


def read_image_bytes(path: Path) -> bytes:
    """The file's bytes, provided that it is an ordinary file of at most 256 MiB.

    Raises
    ------
    InputError
        If it is missing, not an ordinary file, or too large.
    """
    try:
        # Without O_NONBLOCK, opening a named pipe would wait for ever.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise InputError(f"image {path} is not an ordinary file")
            if status.st_size > MAX_BYTES:
                raise InputError(f"image {path} has {status.st_size >> 20} MiB; the limit is {MAX_BYTES >> 20}")
            return file.read()
    except OSError as error:
        raise InputError(f"cannot read image {path}: {error.strerror}; check the path") from error
    except ValueError as error:  # a NUL byte
        raise InputError(f"image path {str(path)[:80]!r} is not valid") from error
