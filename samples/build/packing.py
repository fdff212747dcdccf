"""Packing one image, its contexts and many questions into a single training sequence.

The prompts of a question at k = 0..8 contexts share their beginning. So a record's sequence is its longest prompt
prefix [image, instructions, contexts 1..8], followed by branches: a question with its answer, to be read as if it
followed directly after context k. A branch attends to the prefix up to there and to itself, nothing else, and has the
positions that it would have there. The losses equal those of separate prompts, at a fraction of the tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

IGNORED = -100
"""The target of positions that have no loss."""


@dataclass(frozen=True)
class Branch:
    """A question with its answer, asked after k contexts.

    Attributes
    ----------
    k
        Number of contexts.
    question
        Token ids of the question, up to and including <assistant>.
    answer
        Token ids of the answer, up to and including <eos>.
    weight
        Weight of the loss on the answer's tokens.
    truth
        Whether the answer is yes; None where it is neither yes nor no.
    """

    k: int
    question: list[int]
    answer: list[int]
    weight: float
    truth: bool | None = None


@dataclass(frozen=True)
class Packed:
    """One packed sequence of t tokens, or n of them, padded.

    Attributes
    ----------
    ids, positions
        Token ids and positions, int64 [t] or [n, t].
    targets
        The token to predict at each position, which is the next one, int64 [t] or [n, t]; `IGNORED` for none.
    weights
        Weight of each position's loss, float32 [t] or [n, t].
    sees
        Whether a position (row) attends to another (column), bool [t, t] or [n, t, t].
    truths
        At the tokens of a question that is answered yes, 1, or no, 0; `IGNORED` elsewhere; int64 [t] or [n, t].
    """

    ids: Tensor
    positions: Tensor
    targets: Tensor
    weights: Tensor
    sees: Tensor
    truths: Tensor


def pack(
    opening: list[int], contexts: Sequence[list[int]], branches: Sequence[Branch], context_weight: float
) -> Packed:
    """Pack a record's questions into one sequence.

    Parameters
    ----------
    opening
        Token ids of everything before the first context, image placeholders included.
    contexts
        Token ids of each context, best first.
    branches
        Questions to ask, each after its k contexts.
    context_weight
        Weight of the language-modelling loss on the context tokens.
    """
    most = max(branch.k for branch in branches)
    prefix, ends = list(opening), [len(opening)]
    for context in contexts[:most]:
        prefix += context
        ends.append(len(prefix))
    length = len(prefix) + sum(len(branch.question) + len(branch.answer) for branch in branches)
    ids = torch.zeros(length, dtype=torch.long)
    positions = torch.zeros(length, dtype=torch.long)
    targets = torch.full((length,), IGNORED)
    weights = torch.zeros(length)
    truths = torch.full((length,), IGNORED)
    sees = torch.zeros(length, length, dtype=torch.bool)
    ids[: len(prefix)] = torch.tensor(prefix)
    positions[: len(prefix)] = torch.arange(len(prefix))
    sees[: len(prefix), : len(prefix)] = torch.ones(len(prefix), len(prefix)).tril().bool()
    first = ends[0] - 1
    targets[first : len(prefix) - 1] = ids[ends[0] : len(prefix)]
    weights[first : len(prefix) - 1] = context_weight
    start = len(prefix)
    for branch in branches:
        end, seen = start + len(branch.question) + len(branch.answer), ends[min(branch.k, len(contexts))]
        ids[start:end] = torch.tensor(branch.question + branch.answer)
        positions[start:end] = seen + torch.arange(end - start)
        sees[start:end, :seen] = True
        sees[start:end, start:end] = torch.ones(end - start, end - start).tril().bool()
        asked = start + len(branch.question) - 1
        targets[asked : end - 1] = ids[asked + 1 : end]
        weights[asked : end - 1] = branch.weight
        if branch.truth is not None:
            truths[start : asked + 1] = int(branch.truth)
        start = end
    return Packed(ids, positions, targets, weights, sees, truths)


def collate(packs: Sequence[Packed], pad_id: int) -> Packed:
    """Stack sequences, padded on the right; padding sees only itself and is never a target."""
    longest = max(len(packed.ids) for packed in packs)
    ids = torch.full((len(packs), longest), pad_id)
    positions = torch.zeros(len(packs), longest, dtype=torch.long)
    targets = torch.full((len(packs), longest), IGNORED)
    weights = torch.zeros(len(packs), longest)
    truths = torch.full((len(packs), longest), IGNORED)
    sees = torch.eye(longest, dtype=torch.bool).repeat(len(packs), 1, 1)
    for row, packed in enumerate(packs):
        size = len(packed.ids)
        ids[row, :size], positions[row, :size] = packed.ids, packed.positions
        targets[row, :size], weights[row, :size] = packed.targets, packed.weights
        sees[row, :size, :size], truths[row, :size] = packed.sees, packed.truths
    return Packed(ids, positions, targets, weights, sees, truths)
