"""Records as packed sequences, which hold image, instructions and reports once, and then all of their questions."""

import random
from collections.abc import Callable, Sequence
from typing import Any

from tokenizers import Tokenizer

from rag import PromptTemplate
from samples.build import archive as data
from samples.build import tokenizer as vocabulary
from samples.build.architecture import IMAGE_TOKENS
from samples.build.invention.cases import YES_NO
from samples.build.invention.substitution import substitution
from samples.build.packing import Branch, Packed, pack
from samples.build.reading import Reader

MAX_K, MOST_TOKENS = 8, 1000
"""The most reports of a sequence, and the most tokens that they have together: long ones are fewer."""
CONTEXT_WEIGHT, OPEN_WEIGHT, DESCRIBE_SHARE = 0.02, 0.3, 0.1
DESCRIBE, DESCRIBED_WORDS = "What does the image show?", 40


class Sequences:
    """Turns records, and invented cases, into packed sequences.

    Parameters
    ----------
    archive
        Records with their questions.
    reports
        The reports that were retrieved for each record, most similar first.
    words
        The vocabulary.
    """

    def __init__(self, archive: data.Archive, reports: list[list[str]], words: Tokenizer) -> None:
        self.archive, self.reports, self.words, self.prompt = archive, reports, words, PromptTemplate()
        self.opening = self._ids("<user>") + [vocabulary.IMAGE_ID] * IMAGE_TOKENS + self._ids(self.prompt.opening())
        self.invented = Reader(words, self.opening)
        row = {record["id"]: number for number, record in enumerate(archive.records)}
        self.asked: list[list[dict[str, Any]]] = [[] for _ in archive.records]
        for question in archive.questions:
            self.asked[row[question["record"]]].append(question)

    def alone(self, row: int, rng: random.Random) -> Packed | None:
        """A sequence with each of the record's questions, without contexts; None for a record without questions."""
        questions = list(self.asked[row])
        if rng.random() < DESCRIBE_SHARE:
            words = self.archive.records[row]["report"].split()[:DESCRIBED_WORDS]
            questions.append({"question": DESCRIBE, "options": None, "answer": " ".join(words)})
        branches = [self._branch(question, 0, str) for question in questions]
        return pack(self.opening, [], branches, 0.0) if branches else None

    def reading(self, row: int, rng: random.Random, *, strange: bool) -> Packed | None:
        """A sequence with each of the record's questions, after 1 to 8 contexts; None without questions or contexts.

        Parameters
        ----------
        row
            The record's position in the archive.
        rng
            Draws the number of contexts, and words.
        strange
            Whether words are exchanged for invented ones, see `samples.build.invention.substitution`.
        """
        if not self.asked[row] or not self.reports[row]:
            return None
        worded = substitution(self.invented.inventor, rng) if strange else str
        contexts = self._contexts(row, worded)
        while len(contexts) > 1 and sum(map(len, contexts)) > MOST_TOKENS:
            contexts.pop()
        branches = [self._branch(q, rng.randint(1, len(contexts)), worded) for q in self.asked[row]]
        return pack(self.opening, contexts, branches, CONTEXT_WEIGHT)

    def watching(self, row: int, counts: Sequence[int]) -> tuple[Packed, list[dict[str, Any]]] | None:
        """A sequence with the record's closed questions, each with every number of contexts; and these questions."""
        closed = [question for question in self.asked[row] if question["options"]]
        if not closed:
            return None
        branches = [self._branch(question, k, str) for question in closed for k in counts]
        return pack(self.opening, self._contexts(row, str), branches, 0.0), closed

    def _contexts(self, row: int, worded: Callable[[str], str]) -> list[list[int]]:
        reports = enumerate(self.reports[row], start=1)
        return [self._ids(self.prompt.context(number, worded(report))) for number, report in reports]

    def _branch(self, question: dict[str, Any], k: int, worded: Callable[[str], str]) -> Branch:
        asked = self._ids(self.prompt.closing(worded(question["question"]), question["options"]) + "<assistant>")
        weight = 1.0 if question["options"] else OPEN_WEIGHT
        truth = question["answer"] == YES_NO[0] if tuple(question["options"] or ()) == YES_NO else None
        return Branch(k, asked, [*self._ids(worded(question["answer"])), vocabulary.EOS_ID], weight, truth)

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.words.encode(text).ids
        return ids
