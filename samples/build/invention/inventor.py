"""Invented reading tasks: reports of cases that never were, about findings that do not exist, and questions on them.

A decoder that learns from real reports alone remembers what each finding looks like. Here nothing can be remembered:
the words for findings, organs, stains and cells are drawn anew for every task, so the answer has to be looked up. The
similar cases are like real ones: each agrees with the case in question only with some probability, which falls with its
rank. So reports disagree, and the best answer weighs them. What is not invented is what all reports share: how findings
are named and denied, normal results, numbers, degrees and sides.
"""

import random
from collections.abc import Callable, Sequence

from samples.build.invention import frames
from samples.build.invention.attributes import Attributes
from samples.build.invention.cases import Case, Likeness, Task
from samples.build.invention.findings import Findings
from samples.build.invention.words import fill

Facet = Callable[[random.Random, int, Likeness, str], tuple[list[str], list[Task]]]
"""Draws what each of so many reports says of an organ, and what is asked."""

FACETS = ("listed", "findings", "interviews", "classes", "means", "counts", "degrees", "sides")
"""The functions of `Inventor` that draw something to ask about."""


class Inventor(Findings, Attributes):
    """Draws cases."""

    def case(self, rng: random.Random, most: int, *, facets: Sequence[str] = (), easy: bool = False) -> Case:
        """A case with 1 to ``most`` similar ones.

        Parameters
        ----------
        rng
            Draws everything.
        most
            The most reports.
        facets
            Names of the functions below, of which some are asked about; by default all that make sense in a report.
        easy
            Whether all reports agree with the case in question, and say nothing else than what is asked.
        """
        count = rng.randint(1, most)
        likeness = Likeness(rng.choice((1.0, 0.95, 0.8, 0.6)), rng.choice((1.0, 0.97, 0.85)))
        if easy:
            likeness = Likeness(1.0, 1.0)
        names = rng.sample(facets or FACETS, k=1 if easy else rng.choice((1, 1, 2, 3)))
        organ = self.term(rng)
        said, tasks = [], []
        for name in names:
            facet: Facet = getattr(self, name)
            sentences, asked = facet(rng, count, likeness, organ)
            said.append(sentences)
            tasks += asked
        filler = not easy and rng.random() < 0.5
        reports = []
        for rank in range(count):
            parts = [sentences[rank] for sentences in said if sentences[rank]]
            if filler and rng.random() < 0.7:
                parts.insert(rng.randrange(len(parts) + 1), self.filled(rng.choice(frames.FILLER), rng))
            reports.append(" ".join(parts) or self.filled(rng.choice(frames.FILLER), rng))
        rng.shuffle(tasks)
        return Case(reports, tasks)

    def filled(self, frame: str, rng: random.Random) -> str:
        """A sentence that says nothing of what is asked."""
        return fill(
            frame, w=self.term(rng), v=self.word(rng), age=str(rng.randint(2, 90)), sex=rng.choice(("male", "female"))
        )
