"""What every policy answered to each question, as a file that two runs can be compared by."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from rag.outcomes.score import Outcomes
from rag.questions import Question, questions_fingerprint
from titrate import InputError, hash_json, hash_patient, read_jsonl, write_atomic

VERSION = 2


@dataclass(frozen=True)
class Prediction:
    """One question with its answers.

    Attributes
    ----------
    id, domain, source
        Of the question; where its image was routed; where it comes from, None if it does not say.
    patient
        SHA-256 of the patient, or of what stands for one.
    asked
        SHA-256 of question, options and reference answer.
    options, reference
        The answers to choose from, none for an open question, and the right one.
    contexts
        The records retrieved, best first, and their similarities.
    answers, log_probabilities
        After k = 0..K contexts: the answer, and the log-probability of each option.
    policies
        The answer of each policy; None where it declines. Open questions have none: they are not right or wrong.
    """

    id: str
    domain: str
    source: str | None
    patient: str
    asked: str
    options: list[str]
    reference: str
    contexts: list[tuple[str, float]]
    answers: list[str]
    log_probabilities: list[list[float]] | None
    policies: dict[str, str | None]


@dataclass(frozen=True)
class Predictions:
    """All predictions of a run.

    Attributes
    ----------
    fingerprints
        Of the system that made them.
    rows
        In the order in which questions were answered.
    run
        `run_name` of system and questions.
    """

    fingerprints: dict[str, str]
    rows: list[Prediction]
    run: str = ""

    @classmethod
    def collect(
        cls,
        outcomes: Outcomes,
        of_row: Mapping[int, Mapping[str, str | None]],
        fingerprints: Mapping[str, str],
        run: str,
    ) -> "Predictions":
        """Make them of outcomes and, by the question's row, what policies answered."""
        table, rows = outcomes.table, []
        for row, question in enumerate(outcomes.questions):
            choices = None if table.choices is None else table.choices[row]
            rows.append(
                Prediction(
                    question.id,
                    table.domains[row],
                    question.source,
                    hash_patient(question.unit),
                    hash_json([question.text, list(question.options or ()), question.answer]),
                    list(question.options or ()),
                    question.answer,
                    [(match.record.id, round(match.similarity, 6)) for match in outcomes.matches[row][: table.max_k]],
                    list(table.answers[row]),
                    None if choices is None else choices.log_probabilities.round(6).tolist(),
                    dict(of_row.get(row, {})),
                )
            )
        return cls(dict(fingerprints), rows, run)

    def unshared(self, other: "Predictions") -> int:
        """How many questions only one of the two holds."""
        return len({row.id for row in self.rows} ^ {row.id for row in other.rows})

    def save(self, path: Path) -> None:
        """Write a line for the system, then one for each question; whole or not at all.

        Raises
        ------
        InputError
            If the file cannot be written.
        """
        lines: list[dict[str, Any]] = [{"predictions": VERSION, "run": self.run, "fingerprints": self.fingerprints}]
        lines += [asdict(row) for row in self.rows]
        try:
            write_atomic(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), private=True)
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror}; choose another file") from error

    @classmethod
    def load(cls, path: Path) -> "Predictions":
        """Read what `save` wrote.

        Raises
        ------
        InputError
            If the file cannot be read, or holds no predictions.
        """
        rows, fingerprints, run = [], {}, ""
        for number, line in read_jsonl(path):
            if number == 1:
                if not _begins(line):
                    raise InputError(f"{path} holds no predictions; write them with `titrate evaluate --predictions`")
                fingerprints, run = line["fingerprints"], line["run"]
                continue
            rows.append(_prediction(line, path, number))
        if not rows:
            raise InputError(f"{path} holds no predictions; write them with `titrate evaluate --predictions`")
        if len({row.id for row in rows}) < len(rows):
            raise InputError(f"{path} names a question twice; write it anew with `titrate evaluate --predictions`")
        return cls(fingerprints, rows, run)


def run_name(fingerprints: Mapping[str, str], questions: Sequence[Question], max_k: int) -> str:
    """SHA-256 of what tells a run from others: the system, the questions asked, and K."""
    return hash_json([dict(fingerprints), questions_fingerprint(questions), max_k])


def refuse_other_run(path: Path, run: str) -> None:
    """Refuse to write predictions over anything but those of the same run, which they would be the same as.

    Parameters
    ----------
    path
        Where they are to be written; nothing need be there.
    run
        `run_name` of this run.

    Raises
    ------
    InputError
        If another run's predictions lie there, or anything else.
    """
    if not path.exists():
        return
    try:
        _, first = next(iter(read_jsonl(path)), (0, {}))
    except InputError:
        first = {}
    if not _begins(first) or first["run"] != run:
        raise InputError(
            f"{path} holds something else than predictions of this system, these questions and this --max-k; "
            "name another file with --predictions, or remove it"
        )


def _begins(line: Mapping[str, Any]) -> bool:
    """Whether this is the first line of a file of predictions."""
    sound = isinstance(line.get("fingerprints"), dict) and isinstance(line.get("run"), str)
    return sound and line.get("predictions") == VERSION


_TEXTS = ("id", "domain", "patient", "asked", "reference")


def _prediction(line: Mapping[str, Any], path: Path, number: int) -> Prediction:
    policies = line.get("policies")
    sound = (
        line.keys() == {field.name for field in fields(Prediction)}
        and all(isinstance(line[name], str) for name in _TEXTS)
        and isinstance(policies, dict)
        and all(answer is None or isinstance(answer, str) for answer in policies.values())
    )
    if not sound:
        raise InputError(f"{path}, line {number}: no prediction; write it anew with `titrate evaluate --predictions`")
    return Prediction(**line)


def paired(these: Predictions, those: Predictions) -> list[tuple[Prediction, Prediction]]:
    """Predictions of the same questions in two files, in the order of the first.

    Raises
    ------
    InputError
        If they share none, or one name stands for two different questions, patients or answers.
    """
    others = {row.id: row for row in those.rows}
    pairs = [(row, others[row.id]) for row in these.rows if row.id in others]
    if not pairs:
        raise InputError("the two files of predictions share no question; compare runs of one question file")
    for one, other in pairs:
        if (one.asked, one.patient) != (other.asked, other.patient):
            raise InputError(
                f"question {one.id} is another one in the two files of predictions; compare runs of one question file"
            )
    return pairs
