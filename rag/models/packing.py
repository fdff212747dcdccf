"""Packing questions that branch off a shared beginning into one forward pass over its key-value cache.

A branch sees the beginning up to where it leaves it, its parent branch and itself, and takes the positions that a
prompt of its own would give it; so its logits are that prompt's.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from rag.models.option_tokens import Stem

_NOTHING, _NOBODY = -1, -2  # a padding token's branch, and the parent of a branch that has none


@dataclass(frozen=True)
class Branch:
    """A prompt's tokens after the first ``seen`` tokens of the trunk, its options, and which prompt it is."""

    seen: int
    ids: list[int]
    stems: list[Stem]
    question: int
    k: int

    @property
    def length(self) -> int:
        """Number of tokens to read, options included."""
        return len(self.ids) + sum(len(stem.ids) for stem in self.stems)


@dataclass(frozen=True, eq=False)
class Packed:
    """Branches of n trunks side by side: columns [n, t] of ids, places in the prompt, and who belongs to whom.

    The tokens whose logits are wanted stand last, from column t − ``wanted`` on, so that no others need be computed.
    """

    ids: torch.Tensor
    places: torch.Tensor
    seen: torch.Tensor
    own: torch.Tensor
    parent: torch.Tensor
    wanted: int
    columns: list[list[list[int]]]
    """Of each trunk's branches: which wanted columns hold the logits of their stems, stem after stem."""

    def mask(self, starts: torch.Tensor, trunk: int, window: int | None) -> torch.Tensor:
        """Who sees whom, bool [n, 1, t, trunk + t].

        Parameters
        ----------
        starts
            Where each trunk begins among the cache's columns [n], after its padding.
        trunk
            Number of the cache's columns.
        window
            How far back a sliding-window layer looks; None for a layer that looks back to the beginning.
        """
        columns = torch.arange(trunk) - starts[:, None]
        before = (columns[:, None] >= 0) & (columns[:, None] < self.seen[..., None])
        own = (self.own[:, :, None] == self.own[:, None]) & (self.places[:, None] <= self.places[:, :, None])
        sees = torch.cat([before, own | (self.own[:, None] == self.parent[:, :, None])], -1)
        if window is not None:
            places = torch.cat([columns, self.places], 1)
            sees &= self.places[:, :, None] - places[:, None] < window
        return sees[:, None]


def pack(rows: Sequence[Sequence[Branch]], pad_id: int) -> Packed:
    """Pack each trunk's branches into a row; a stem is a branch of its question."""
    early: list[list[tuple[int, ...]]] = [[] for _ in rows]
    late: list[list[tuple[int, ...]]] = [[] for _ in rows]
    columns: list[list[list[int]]] = [[] for _ in rows]
    for row, branches in enumerate(rows):
        number = 0
        for branch in branches:
            end, name = branch.seen + len(branch.ids), number
            read = [(token, branch.seen + i, branch.seen, name, _NOBODY) for i, token in enumerate(branch.ids)]
            early[row] += read[:-1]
            asked, where = len(late[row]), []
            late[row].append(read[-1])
            for stem in branch.stems:
                number += 1
                where += [asked, *range(len(late[row]), len(late[row]) + len(stem.ids))]
                late[row] += [(token, end + i, branch.seen, number, name) for i, token in enumerate(stem.ids)]
            columns[row].append(where)
            number += 1
    wanted, rest = max(map(len, late)), max(map(len, early))
    pad = (pad_id, 0, 0, _NOTHING, _NOBODY)
    table = torch.tensor(
        [
            [*first, *[pad] * (rest - len(first)), *last, *[pad] * (wanted - len(last))]
            for first, last in zip(early, late, strict=True)
        ]
    )
    ids, places, seen, own, parent = table.unbind(-1)
    return Packed(ids, places, seen, own, parent, wanted, columns)


def chunks(branches: Sequence[Branch], tokens: int) -> list[list[Branch]]:
    """Branches in groups of at most so many tokens, or of one."""
    groups: list[list[Branch]] = []
    room = 0
    for branch in branches:
        if not groups or branch.length > room:
            groups.append([])
            room = tokens
        groups[-1].append(branch)
        room -= branch.length
    return groups
