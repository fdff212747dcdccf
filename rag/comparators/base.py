"""The one interface of comparators: what each is given, what it answers, and what it chose.

A comparator is given a `Trial`: the outcomes of one model on the questions to judge by, those that it may choose by,
and answered questions to learn from. It returns `Answered`: for each question judged the answer, or None where it
declines, with how many contexts were read and how sure it is; and for each domain what it chose, and whether it
promises anything. So all are judged by the same metrics on the same questions. Each promise is by itself: delta is
spent anew by every comparator, which only a comparison may do.

    trial = Trial(judged=test, calibrate=calibrate, prefer=prefer, known=run.known_questions(test.questions))
    for answered in answer_all(trial, alpha=0.1, delta=0.1, tuned=trial_of_the_trained_model):
        answered.comparator, answered.right(trial.judged), answered.choices

`calibrate` and `prefer` are `Outcomes`, as `QuestionRun.score` returns them for the splits of these names. A comparator
that goes by an outcome table alone is a `ByPolicy`: ``choose(calibrate_table, prefer_table)`` can be called with any
tables, such as resampled ones.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from calibration import OutcomeTable, Policy, PolicyReading, read_policy
from rag.outcomes.score import Outcomes
from rag.questions import Question
from titrate import InputError


@dataclass(frozen=True, eq=False)
class Trial:
    """All that comparators are given, of one model.

    Parameters
    ----------
    judged
        Outcomes of the questions to judge by, all with options.
    calibrate, prefer
        Outcomes to choose by, up to the same K, of other patients; None where there are none.
    known
        Answered questions of the indexed split, of other patients: what answers without a model are learnt from.
    near
        For each question judged the records most similar to its image, best first; those that the model may read by
        default. Of more than these, more can be found that were asked the same.

    Raises
    ------
    InputError
        If a question has no options, a patient is in two of them, or they end at different k.
    """

    judged: Outcomes
    calibrate: Outcomes | None = None
    prefer: Outcomes | None = None
    known: Sequence[Question] = ()
    near: Sequence[Sequence[str]] | None = None

    def __post_init__(self) -> None:
        parts = {"judged": self.judged, "calibrate": self.calibrate, "prefer": self.prefer}
        held = {name: outcomes for name, outcomes in parts.items() if outcomes is not None}
        of = {name: set(outcomes.table.units) for name, outcomes in held.items()}
        of["known"] = {question.unit for question in self.known}
        names = list(of)
        for place, name in enumerate(names):
            for other in names[place + 1 :]:
                if of[name] & of[other]:
                    raise InputError(
                        f"a patient is in both {name} and {other}; what is judged by must be nothing that was chosen by"
                    )
        for name, outcomes in held.items():
            missing = [question.id for question in outcomes.questions if not question.options]
            if missing:
                raise InputError(f"{name}: question {missing[0]} has no options; compare closed questions only")
            if outcomes.table.max_k != self.judged.table.max_k:
                raise InputError(f"{name} ends at another k than the questions judged; score both up to the same")
        if len(self.nearest_records) != len(self.judged.questions):
            raise InputError("give the nearest records of every question judged")

    @property
    def nearest_records(self) -> Sequence[Sequence[str]]:
        """For each question judged the most similar records, best first."""
        if self.near is not None:
            return self.near
        return [[match.record.id for match in found] for found in self.judged.matches]


@dataclass(frozen=True)
class Choice:
    """What a comparator settled on in one domain.

    Attributes
    ----------
    told
        In words.
    policy
        The policy; None where it is none, or nothing is answered.
    promised
        Whether the risk is promised to be at most alpha there, with probability 1 - delta.
    """

    told: str
    policy: Policy | None = None
    promised: bool = False


@dataclass(frozen=True, eq=False)
class Answered:
    """What a comparator answers to each question judged, n in all.

    Attributes
    ----------
    comparator
        Its name.
    answers
        None where it declines, ``[n]``.
    contexts
        How many contexts the model read, ``[n]``; 0 where no model was asked.
    probabilities
        Of each option in the question's order, ``[n][options]``; None where there is no such thing.
    choices
        By domain.
    note
        Why it answers nothing at all; empty where it does.
    """

    comparator: str
    answers: tuple[str | None, ...]
    contexts: NDArray[np.int64]
    probabilities: tuple[NDArray[np.float64] | None, ...]
    choices: Mapping[str, Choice] = field(default_factory=dict)
    note: str = ""

    @classmethod
    def nothing(cls, comparator: str, questions: int, note: str) -> "Answered":
        """No answer to any question, and why."""
        none = (None,) * questions
        return cls(comparator, none, np.zeros(questions, np.int64), none, note=note)

    @property
    def answered(self) -> NDArray[np.bool_]:
        """Whether each question got an answer, ``[n]``."""
        return np.array([answer is not None for answer in self.answers], dtype=np.bool_)

    def right(self, judged: Outcomes) -> NDArray[np.bool_]:
        """Whether each answer is the reference answer, ``[n]``; not where there is none."""
        pairs = zip(self.answers, judged.questions, strict=True)
        return np.array([answer == question.answer for answer, question in pairs], dtype=np.bool_)


class Comparator(Protocol):
    """Answers the questions of a trial."""

    @property
    def name(self) -> str:
        """What it is called in tables."""
        ...

    def answer(self, trial: Trial) -> Answered:
        """Choose, and answer; where it cannot, say why in the note."""
        ...


class ByPolicy(ABC):
    """A comparator that reads every answer of a domain off the outcome table, by one policy."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What it is called in tables."""

    @abstractmethod
    def choose(self, calibrate: OutcomeTable | None, prefer: OutcomeTable | None) -> Mapping[str, Choice]:
        """What to do in each domain, judged by these outcomes alone.

        Raises
        ------
        InputError
            If the outcomes that it goes by are missing, or do not suit it.
        """

    def everywhere(self) -> Choice:
        """What to do in a domain that no choice was made for."""
        return Choice("not met before: answers nothing")

    def answer(self, trial: Trial) -> Answered:
        """Choose, and read the answers off the table."""
        asked = trial.judged.table
        try:
            calibrate, prefer = (None if one is None else one.table for one in (trial.calibrate, trial.prefer))
            chosen = self.choose(calibrate, prefer)
            choices = {name: chosen.get(name, self.everywhere()) for name in sorted(set(asked.domains))}
            return apply_choices(self.name, choices, asked)
        except InputError as error:
            return Answered.nothing(self.name, len(asked.question_ids), str(error))


def apply_choices(comparator: str, choices: Mapping[str, Choice], judged: OutcomeTable) -> Answered:
    """Answer each question of a table by what was chosen for its domain.

    Raises
    ------
    InputError
        As `calibration.read_policy`.
    """
    questions = len(judged.question_ids)
    answers: list[str | None] = [None] * questions
    probabilities: list[NDArray[np.float64] | None] = [None] * questions
    contexts = np.zeros(questions, dtype=np.int64)
    for domain in sorted(set(judged.domains)):
        policy = choices[domain].policy
        if policy is None:
            continue
        rows = [row for row, name in enumerate(judged.domains) if name == domain]
        reading: PolicyReading = read_policy(policy, judged.take(rows))
        contexts[rows] = reading.contexts
        for place, row in enumerate(rows):
            logs = reading.log_probabilities[place]
            answers[row] = reading.answers[place] if reading.answered[place] else None
            probabilities[row] = None if logs is None else np.exp(logs)
    return Answered(comparator, tuple(answers), contexts, tuple(probabilities), dict(choices))
