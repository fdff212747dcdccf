"""Comparators that ask no model: the commonest answer, the nearest report's, and the vote of the nearest."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.comparators.base import Answered, Choice, Trial
from rag.comparators.baselines import Baselines

MAJORITY, NEAREST, VOTE = "majority answer", "copy nearest report", "vote of the 8 nearest"
NOT_LEARNT = "not available: the question file has no closed questions of a train split to learn from"


@dataclass(frozen=True)
class WithoutModel:
    """One of `MAJORITY`, `NEAREST` and `VOTE`, by its name."""

    name: str

    def answer(self, trial: Trial) -> Answered:
        """Answer from known answers alone."""
        asked = trial.judged.questions
        if not any(question.options for question in trial.known):
            return Answered.nothing(self.name, len(asked), NOT_LEARNT)
        baselines = Baselines(trial.known)
        answers: list[str] = []
        shares: list[NDArray[np.float64] | None] = []
        for question, records in zip(asked, trial.nearest_records, strict=True):
            share = None
            if self.name == MAJORITY:
                answer = baselines.majority(question)
            elif self.name == NEAREST:
                answer = baselines.nearest(question, records)
            else:
                answer, share = baselines.vote(question, records)
            answers.append(answer)
            shares.append(share)
        told = {name: Choice(f"learnt from {len(trial.known)} answers") for name in trial.judged.table.domains}
        return Answered(self.name, tuple(answers), np.zeros(len(asked), dtype=np.int64), tuple(shares), told)
