"""Looks: which patients have been calibrated on, so that no promise rests on trying until one comes.

A calibration's delta holds for one look at its patients. Whoever looks again after other choices, or after adding some
patients, and keeps what certifies, makes false promises more often. So each calibration is noted in the folder of the
outcomes before its tests are made, and another one that shares patients with it is one of these, or refused:

- the same again, as after a kill: nothing new is seen;
- the same system and settings with new patients added: the bets go on where they stood, and delta holds for all rounds;
- another system with the same settings: what the earlier ones had of delta is spent, the rest is for this one.
"""

import fcntl
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from calibration import OutcomeTable
from rag.questions import Question, questions_fingerprint
from titrate import InputError, JsonFields, hash_files, hash_json, hash_patient, open_private, parse_json

_NEW_PATIENTS = "calibrate on patients that nothing was calibrated on"
_REMEDY = "restore it, or calibrate on other patients in another folder of outcomes"


@dataclass(frozen=True)
class Look:
    """One calibration, as it is noted.

    Attributes
    ----------
    made
        When, in UTC, ISO 8601.
    system, settings, questions
        Hashes of what answered, of what was tested and how, and of the questions.
    delta, spent
        The chance of a false promise, and what of it had gone to earlier systems on these patients.
    number
        How many systems had been calibrated on them, this one counted.
    rounds
        Hashes of the patients of each round, all different; see `_who`.
    goes_on
        Whether its tests may be looked at again after more patients.
    """

    made: str
    system: str
    settings: str
    questions: str
    delta: float
    spent: float
    number: int
    rounds: tuple[tuple[str, ...], ...]
    goes_on: bool

    @property
    def patients(self) -> frozenset[str]:
        """Of all rounds."""
        return frozenset(name for names in self.rounds for name in names)

    @property
    def table_name(self) -> str:
        """Name of the file that keeps its outcomes."""
        return f"look-{hash_json([self.system, self.settings, self.questions])[:32]}.jsonl"

    def earlier(self, questions: Sequence[Question]) -> list[list[str]]:
        """The units of some questions that were in each round before the last, sorted."""
        whose = _units(questions)
        return [sorted(whose[name] for name in names if name in whose) for names in self.rounds[:-1]]


class LookLedger:
    """The looks noted in a folder of outcomes; a context manager that holds the file alone.

    Parameters
    ----------
    folder
        Made if it is not there.

    Raises
    ------
    InputError
        If the folder cannot be used, another calibration is at work in it, or the file is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "looks.jsonl"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = open_private(self.path)
        except OSError as error:
            raise InputError(f"cannot write to {folder}: {error.strerror}; choose another --outcomes") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise InputError(f"{self.path} is in use: another calibration is at work; wait for it") from error
        try:
            self.looks = self._read()
        except InputError:
            self._file.close()
            raise

    def __enter__(self) -> "LookLedger":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # of a full disk, which was told already: closing tries to write once more
            self._file.close()

    def plan(
        self,
        questions: Sequence[Question],
        fingerprints: Mapping[str, str],
        settings: Mapping[str, Any],
        delta: float,
        *,
        goes_on: bool,
    ) -> Look:
        """Say what a calibration would be, given those before it.

        Parameters
        ----------
        questions
            Of the calibration.
        fingerprints
            Of the system that answers.
        settings
            All that is tested and how, but for delta, as JSON.
        delta
            The chance that the promise is false.
        goes_on
            Whether its tests may be looked at again after more patients.

        Raises
        ------
        InputError
            If these patients may not be looked at so, with the reason.
        """
        patients = tuple(sorted(_units(questions)))
        look = Look(
            made=datetime.now(UTC).isoformat(timespec="seconds"),
            system=hash_json(dict(fingerprints)),
            settings=hash_json(dict(settings)),
            questions=_asked(questions),
            delta=delta,
            spent=0.0,
            number=1,
            rounds=(patients,),
            goes_on=goes_on,
        )
        met = [other for other in self.looks if not other.patients.isdisjoint(patients)]
        own = [other for other in met if other.system == look.system]
        for other in own:
            if (other.settings, other.questions, other.delta) == (look.settings, look.questions, delta):
                return other
        if any(other.settings != look.settings for other in met):
            raise _refusal(look, met, "other settings were tested on")
        if own:
            return self._continued(look, own, met, questions)
        # Of each calibration, which may have gone on, the last round: what it had of delta holds for all of them.
        latest = {(other.system, other.rounds[0]): other for other in met}.values()
        spent = sum((other.delta - other.spent for other in latest), 0.0)
        if spent >= delta:
            raise _refusal(look, met, f"{spent:g} of delta is spent on", f"give more than {spent:g} as --delta, or ")
        return replace(look, spent=spent, number=1 + len(latest))

    def known(self, look: Look, questions: Sequence[Question]) -> OutcomeTable | None:
        """Return the outcomes that are known, to the bit as they were tested; None if this is a first look.

        They are those of all rounds where the look was made before, and else of the rounds before the last.

        Raises
        ------
        InputError
            If they are not there, or damaged.
        """
        before = look if look in self.looks else None
        if before is None and len(look.rounds) > 1:
            earlier = (one for one in self.looks if one.system == look.system and one.rounds == look.rounds[:-1])
            before = next(earlier)
        if before is None:
            return None
        kept = OutcomeTable.load(self.path.with_name(before.table_name))
        whose = _units(questions)
        return replace(kept, units=[whose[name] for name in kept.units])

    def note(self, look: Look, table: OutcomeTable | None, questions: Sequence[Question]) -> None:
        """Note a look before its tests are made, with the outcomes if they are there; nothing if it is noted already.

        Raises
        ------
        InputError
            If the disk is full.
        """
        if look in self.looks:
            return
        if table is not None:
            # A folder of outcomes names no patient.
            name_of = {unit: name for name, unit in _units(questions).items()}
            named = replace(table, units=[name_of[unit] for unit in table.units])
            named.save(self.path.with_name(look.table_name))
        try:
            self._file.write((json.dumps(asdict(look)) + "\n").encode())
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise InputError(f"cannot write {self.path}: {error.strerror}; free some space and run again") from error
        self.looks.append(look)

    def _continued(self, look: Look, own: Sequence[Look], met: Sequence[Look], questions: Sequence[Question]) -> Look:
        """The look that goes on with this system's last one, if the new patients are new."""
        before = own[-1]
        if any(one.rounds != before.rounds[: len(one.rounds)] for one in own):
            raise _refusal(look, own, "several calibrations were made on")
        beside = {one.system for one in self.looks if not one.patients.isdisjoint(before.patients)}
        strangers = [one for one in met if one.system not in beside]
        if strangers:
            raise _refusal(look, strangers, "another system alone was calibrated on")
        return _continued(look, before, questions)

    def _read(self) -> list[Look]:
        self._file.seek(0)
        lines = self._file.read().split(b"\n")
        torn = len(lines.pop())  # what a kill cut short was not tested yet
        if torn:
            self._file.truncate(self._file.tell() - torn)
        looks = []
        for number, line in enumerate(lines, start=1):
            try:
                value = parse_json(line)
            except ValueError as error:
                raise InputError(f"{self.path}, line {number}: damaged; {_REMEDY}") from error
            read = JsonFields(value, f"{self.path}, line {number}", tuple(Look.__dataclass_fields__), _REMEDY)
            rounds = read.items("rounds")
            if not rounds or not all(isinstance(names, list) for names in rounds):
                raise read.error("rounds is not a list of lists")
            looks.append(
                Look(
                    made=read.text("made"),
                    system=read.text("system"),
                    settings=read.text("settings"),
                    questions=read.text("questions"),
                    delta=read.fraction("delta"),
                    spent=read.fraction("spent"),
                    number=read.integer("number", least=1),
                    rounds=tuple(tuple(map(str, names)) for names in rounds),
                    goes_on=read.flag("goes_on"),
                )
            )
        return looks


def _who(question: Question) -> str:
    """Hash of whom a question is about; of the image's content where nobody is named, wherever the file lies."""
    if question.patient is None and question.study is None:
        return hash_files([question.image])
    return hash_patient(question.unit)


def _units(questions: Sequence[Question]) -> dict[str, str]:
    """The unit of each of `_who`."""
    return {_who(question): question.unit for question in questions}


def _asked(questions: Sequence[Question]) -> str:
    """Hash of what is asked about which images, by their content."""
    images = [hash_files([question.image]) for question in sorted(questions, key=lambda item: item.id)]
    return hash_json([questions_fingerprint(questions), images])


def _continued(look: Look, before: Look, questions: Sequence[Question]) -> Look:
    """The look that goes on with another one after new patients."""
    unchanged = [question for question in questions if _who(question) in before.patients]
    new = set(look.rounds[0]) - before.patients
    if look.delta != before.delta:
        raise _refusal(look, [before], f"delta = {before.delta:g} was promised for")
    if _asked(unchanged) != before.questions:
        raise _refusal(look, [before], "other questions were asked about")
    if not before.goes_on:
        raise _refusal(look, [before], "tests that may be looked at once only were made on")
    return replace(look, spent=before.spent, number=before.number, rounds=(*before.rounds, tuple(sorted(new))))


def _refusal(look: Look, met: Sequence[Look], reason: str, remedy: str = "") -> InputError:
    patients = frozenset(look.rounds[0])
    shared = len(patients.intersection(*[frozenset().union(*(other.patients for other in met))]))
    return InputError(
        f"{reason} {shared} of these {len(patients)} patients before ({max(other.made for other in met)}), and trying "
        f"until something certifies breaks the promise; {remedy}{_NEW_PATIENTS}"
    )
