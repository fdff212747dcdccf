"""An invented case: reports of similar ones, how far they can be trusted, and what is asked."""

import random
from dataclasses import dataclass, field

YES_NO = ("yes", "no")


@dataclass(frozen=True)
class Task:
    """A question about an invented case, with the answer that is true of it.

    Attributes
    ----------
    question, options, answer
        As in a file of questions; options are None for an open question.
    first
        The smallest number of reports from which it can be asked: how many reports say something is known then alone.
    """

    question: str
    options: tuple[str, ...] | None
    answer: str
    first: int = 0


@dataclass
class Case:
    """An invented case: its similar cases' reports, most similar first, and its tasks."""

    reports: list[str]
    tasks: list[Task] = field(default_factory=list)


@dataclass(frozen=True)
class Likeness:
    """How far cases can be trusted: the i-th agrees with probability ``trust`` · ``decay`` ** i, and else by chance."""

    trust: float
    decay: float

    def agrees(self, rank: int, rng: random.Random) -> bool:
        """Draw whether the similar case of this rank, from 0, shares what is asked about."""
        return rng.random() < self.trust * self.decay**rank
