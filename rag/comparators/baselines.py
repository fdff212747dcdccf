"""Answers that need no model, learnt from answered questions: what any model must beat."""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from rag.questions import Question

VOTES = 8


class Baselines:
    """Answers that need no model, learnt from answered questions of other patients.

    Parameters
    ----------
    known
        Answered questions, of the indexed split.
    """

    def __init__(self, known: Sequence[Question]) -> None:
        closed = [question for question in known if question.options]
        self._by_text = _majorities((question.text, question.answer) for question in closed)
        self._by_kind = _majorities((str(question.kind), question.answer) for question in closed)
        self._of_record = {(str(question.record), question.text): question.answer for question in closed}
        self._of_kind = {(str(question.record), question.kind): question.answer for question in closed if question.kind}

    def majority(self, question: Question) -> str:
        """The commonest known answer to the same question, or else to its kind, or else the first option."""
        answer = self._by_text.get(question.text) or self._by_kind.get(str(question.kind))
        options = question.options or ("",)
        return answer if answer in options else options[0]

    def answer_of(self, record: str, question: Question) -> str | None:
        """What is known of a record that was asked the same, in the same words or else of the same kind."""
        return self._of_record.get((record, question.text)) or self._of_kind.get((record, str(question.kind)))

    def nearest(self, question: Question, records: Sequence[str]) -> str:
        """The answer of the most similar case that was asked the same, in the same words or of the same kind."""
        options = question.options or ("",)
        for record in records:
            answer = self.answer_of(record, question)
            if answer in options:
                return answer
        return self.majority(question)

    def vote(
        self, question: Question, records: Sequence[str], voters: int = VOTES
    ) -> tuple[str, NDArray[np.float64] | None]:
        """The commonest answer of the most similar cases that were asked the same; ties go to the nearest of them.

        Parameters
        ----------
        question
            With options.
        records
            Similar cases, best first; those that were not asked the same have no vote.
        voters
            How many vote at most.

        Returns
        -------
        answer
            Where nobody votes, that of `majority`.
        shares
            Of the votes for each option, ``[options]``; None where nobody votes.
        """
        options = question.options or ("",)
        found = (self.answer_of(record, question) for record in records)
        votes = [answer for answer in found if answer in options][:voters]
        if not votes:
            return self.majority(question), None
        counts = Counter(votes)  # in the order of the first vote for each, which decides between equals
        return max(counts, key=counts.__getitem__), np.array([counts[option] / len(votes) for option in options])


def _majorities(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    counts: dict[str, Counter[str]] = {}
    for key, answer in pairs:
        counts.setdefault(key, Counter())[answer] += 1
    return {key: count.most_common(1)[0][0] for key, count in counts.items()}
