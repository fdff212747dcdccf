"""Outcomes on disk: what has been scored once, under the same system, is not scored again."""

import fcntl
import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType

from titrate import InputError, TitrateError, open_private, parse_json


@dataclass(frozen=True)
class Outcome:
    """What one question came to at k = 0..K; each field [K + 1].

    ``log_probabilities`` [K + 1][options] are None for a question without options.
    """

    losses: list[float]
    confidences: list[float]
    answers: list[str]
    log_probabilities: list[list[float]] | None


OUTCOME_FIELDS = [field.name for field in fields(Outcome)]
"""Part of a cache's key: outcomes that were kept without one of them are not read."""


class OutcomeCache:
    """A file of outcomes, a line a question; a context manager that holds it alone.

    A line is written only when it is whole, and a torn last one, as a kill leaves it, is dropped.

    Parameters
    ----------
    folder
        Holds a file for each system; made if it is not there.
    key
        Hash of everything that could change an outcome, besides the question itself.
    versions
        Of the model that answers; kept in a new file.

    Attributes
    ----------
    versions
        Those of the model that answered first; None where the file does not hold them.

    Raises
    ------
    InputError
        If the folder cannot be used, or another process is scoring with the same system.
    """

    def __init__(self, folder: Path, key: str, versions: Mapping[str, str] | None = None) -> None:
        self.path = folder / f"{key[:32]}.jsonl"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = open_private(self.path)
        except OSError as error:
            raise InputError(f"cannot write outcomes to {folder}: {error.strerror}; choose another folder") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise InputError(f"{self.path} is in use: another process is scoring; wait for it") from error
        self._known: dict[str, Outcome] = {}
        self.versions: dict[str, str] | None = None
        self._file.seek(0)
        whole = 0
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            try:
                row = parse_json(line)
                if not whole and "versions" in row:
                    self.versions = {str(name): str(held) for name, held in row["versions"].items()}
                else:
                    name = row.pop("question")
                    self._known[name] = _sound(Outcome(**row))
            except (ValueError, KeyError, TypeError, AttributeError):
                break
            whole += len(line)
        self._file.truncate(whole)
        if not whole and versions:
            self.versions = dict(versions)
            self._write([{"versions": self.versions}])

    def __enter__(self) -> "OutcomeCache":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the file go."""
        with suppress(OSError):  # of a full disk, which was told already: closing tries to write once more
            self._file.close()

    def get(self, questions: Sequence[str]) -> list[Outcome] | None:
        """The outcomes of these questions, if all of them are known.

        All or none, because what is scored together is padded together, and must be again to give the same bits.
        """
        found = [self._known.get(question) for question in questions]
        whole = [outcome for outcome in found if outcome is not None]
        return whole if len(whole) == len(found) else None

    def put(self, questions: Sequence[str], outcomes: Sequence[Outcome]) -> None:
        """Keep the outcomes of questions that were scored together."""
        rows = [{"question": name} | asdict(outcome) for name, outcome in zip(questions, outcomes, strict=True)]
        self._write(rows)
        self._known.update(zip(questions, outcomes, strict=True))

    def _write(self, rows: Sequence[Mapping[str, object]]) -> None:
        try:
            self._file.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())
            self._file.flush()
        except OSError as error:
            raise TitrateError(f"cannot write {self.path}: {error.strerror}; free some space and run again") from error


def _sound(outcome: Outcome) -> Outcome:
    """The outcome; raises ValueError or TypeError unless each field is what it should be."""
    levels = len(outcome.losses)
    shares = [*outcome.losses, *outcome.confidences]
    if not levels or levels != len(outcome.confidences) or levels != len(outcome.answers):
        raise ValueError("fields of different lengths")
    if not all(type(share) in (int, float) and 0 <= share <= 1 for share in shares):
        raise ValueError("a number outside [0, 1]")
    if not all(isinstance(answer, str) for answer in outcome.answers):
        raise TypeError("an answer that is no text")
    logs = outcome.log_probabilities
    if logs is None:
        return outcome
    if len(logs) != levels or len({len(row) for row in logs}) != 1:
        raise ValueError("log-probabilities of different lengths")
    if not all(type(value) in (int, float) and value < math.inf for row in logs for value in row):
        raise ValueError("a log-probability that is no number")
    return outcome
