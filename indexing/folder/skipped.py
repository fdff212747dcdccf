"""The list of records that could not be used, written as they are met: it may be longer than memory."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

from indexing.records import SkippedRecord
from titrate import InputError


class SkippedLog:
    """A file with one object a record; a context manager.

    The last run's list stays until this run has come to its end.

    Parameters
    ----------
    path
        The file.
    private
        For its owner alone; otherwise the process's umask says who may read it.
    """

    def __init__(self, path: Path, *, private: bool = False) -> None:
        self._path, self._new = path, path.with_name(f".{path.name}.new")
        try:
            self._new.unlink(missing_ok=True)
            handle = os.open(
                self._new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600 if private else 0o666
            )
            self._file = os.fdopen(handle, "w", encoding="utf-8")  # a link that somebody put there is not followed
        except OSError as error:
            raise InputError(f"cannot write {self._new}: {error.strerror}; check free space and rights") from error
        self._count = 0

    def __enter__(self) -> "SkippedLog":
        return self

    def add(self, record: SkippedRecord) -> None:
        """Append a record."""
        self._file.write(json.dumps(asdict(record), ensure_ascii=False) + "\n")
        self._count += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if error is not None:
            self._new.unlink(missing_ok=True)
        elif self._count:
            self._new.replace(self._path)
        else:
            self._new.unlink()
            self._path.unlink(missing_ok=True)
