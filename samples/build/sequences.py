"""Records as packed sequences, which hold image, instructions and reports once, and then all of their questions."""

import random
from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer

from rag import PromptTemplate
from samples.build import archive as data
from samples.build import tokenizer as vocabulary
from samples.build.encoder import PIXELS
from samples.build.packing import Branch, Packed, pack

MAX_K, PATCH = 8, 32
IMAGE_TOKENS = (PIXELS // PATCH) ** 2
CONTEXT_WEIGHT, CONTEXT_SHARE, OPEN_WEIGHT, DESCRIBE_SHARE = 0.05, 0.25, 0.3, 0.1
DESCRIBE, DESCRIBED_WORDS = "What does the image show?", 40


class Sequences:
    """Turns records into packed sequences.

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
        self.archive, self.words, self.prompt = archive, words, PromptTemplate()
        self.opening = self._ids("<user>") + [vocabulary.IMAGE_ID] * IMAGE_TOKENS + self._ids(self.prompt.opening())
        self.contexts = [
            [self._ids(self.prompt.context(i, report)) for i, report in enumerate(found, start=1)] for found in reports
        ]
        row = {record["id"]: number for number, record in enumerate(archive.records)}
        self.asked: list[list[dict[str, Any]]] = [[] for _ in archive.records]
        for question in archive.questions:
            self.asked[row[question["record"]]].append(question)

    def training(self, row: int, rng: random.Random, *, reading: bool) -> Packed | None:
        """A sequence to train on, with each of the record's questions; None for a record without questions.

        Parameters
        ----------
        row
            The record's position in the archive.
        rng
            Draws the number of contexts, and whether the record is to be described and its contexts learnt.
        reading
            Whether each question is asked with contexts too, and not only without.
        """
        branches, counts = [], (0, rng.randint(1, MAX_K)) if reading else (0,)
        questions = list(self.asked[row])
        if rng.random() < DESCRIBE_SHARE:
            words = self.archive.records[row]["report"].split()[:DESCRIBED_WORDS]
            questions.append({"question": DESCRIBE, "options": None, "answer": " ".join(words)})
        for question in questions:
            weight = 1.0 if question["options"] else OPEN_WEIGHT
            branches += [self._branch(question, k, weight) for k in counts]
        context_weight = CONTEXT_WEIGHT if rng.random() < CONTEXT_SHARE else 0.0
        return pack(self.opening, self.contexts[row], branches, context_weight) if branches else None

    def watching(self, row: int, counts: Sequence[int]) -> tuple[Packed, list[dict[str, Any]]] | None:
        """A sequence with the record's closed questions, each with every number of contexts; and these questions."""
        closed = [question for question in self.asked[row] if question["options"]]
        if not closed:
            return None
        branches = [self._branch(question, k, 1.0) for question in closed for k in counts]
        return pack(self.opening, self.contexts[row], branches, 0.0), closed

    def _branch(self, question: dict[str, Any], k: int, weight: float) -> Branch:
        asked = self._ids(self.prompt.closing(question["question"], question["options"]) + "<assistant>")
        return Branch(k, asked, [*self._ids(question["answer"]), vocabulary.EOS_ID], weight)

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.words.encode(text).ids
        return ids
