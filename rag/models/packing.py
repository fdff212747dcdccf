"""Packing the suffixes of prompts that begin alike into one forward pass over the key-value cache of their beginning.

A suffix sees the first tokens of the shared prefix, as many as its prompt has in common with it, and itself; an option
prefix is packed as a suffix of its own that sees its prompt's suffix as well. Each takes the positions that a prompt of
its own would give it; so its logits are that prompt's.

Shapes: n shared prefixes, p columns of their cache, t columns of packed tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image

from rag.models.option_tokens import OptionPrefix

_PADDING, _NO_PARENT = -1, -2  # the owner of padding tokens, and the parent of a suffix that has none


@dataclass(frozen=True)
class Suffix:
    """What a prompt does not share with the longest one about its image.

    Parameters
    ----------
    shared
        How many of the prompt's first tokens are also the shared prefix's.
    ids
        The prompt's other tokens, at least one.
    option_prefixes
        Of the prompt's options.
    question, k
        Which prompt it is: the number of its question, and of its contexts.
    """

    shared: int
    ids: list[int]
    option_prefixes: list[OptionPrefix]
    question: int
    k: int

    @property
    def length(self) -> int:
        """Number of tokens to read, options included."""
        return len(self.ids) + sum(len(prefix.ids) for prefix in self.option_prefixes)


@dataclass(frozen=True, eq=False)
class SharedPrefix:
    """The longest prompt about an image, which the others begin as, and what is left to read of each.

    Parameters
    ----------
    number
        Of the nested prompt, among those to score.
    text, image
        The longest prompt.
    inputs
        What the model reads of it, a batch of one.
    suffixes
        Of all the image's prompts, of the longest too.
    """

    number: int
    text: str
    image: Image.Image
    inputs: dict[str, torch.Tensor]
    suffixes: list[Suffix]

    @property
    def length(self) -> int:
        """Number of tokens."""
        return int(self.inputs["input_ids"].shape[1])


@dataclass(frozen=True, eq=False)
class Packed:
    """Suffixes of n shared prefixes, a row for each shared prefix, and within it one suffix after another.

    Parameters
    ----------
    ids
        Tokens, int64 [n, t].
    positions
        Of each token in its prompt, from 0, int64 [n, t].
    shared
        How many tokens of the shared prefix each token sees, int64 [n, t].
    owner
        Number, within the row, of the suffix or option prefix that a token belongs to, int64 [n, t].
    parent
        Number of the suffix that an option prefix's token follows, int64 [n, t].
    logits_to_keep
        The model need compute logits for so many of the last columns only: all that are read stand there.
    columns
        Of each row's suffixes: which of these last columns hold the logits of its option prefixes, one after another.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    shared: torch.Tensor
    owner: torch.Tensor
    parent: torch.Tensor
    logits_to_keep: int
    columns: list[list[list[int]]]

    def mask(self, starts: torch.Tensor, prefix_length: int, window: int | None) -> torch.Tensor:
        """Which token sees which, bool [n, 1, t, p + t].

        Parameters
        ----------
        starts
            The cache's column in which each shared prefix begins, after its padding, int64 [n].
        prefix_length
            Number p of the cache's columns.
        window
            How many tokens a sliding-window layer sees, the token itself included; None for a layer that sees all.
        """
        columns = torch.arange(prefix_length) - starts[:, None]  # [n, p]
        before = (columns[:, None] >= 0) & (columns[:, None] < self.shared[..., None])  # [n, t, p]
        own = (self.owner[:, :, None] == self.owner[:, None]) & (
            self.positions[:, None] <= self.positions[:, :, None]
        )  # [n, t, t]
        sees = torch.cat([before, own | (self.owner[:, None] == self.parent[:, :, None])], -1)  # [n, t, p + t]
        if window is not None:
            positions = torch.cat([columns, self.positions], 1)  # [n, p + t]
            sees &= self.positions[:, :, None] - positions[:, None] < window
        return sees[:, None]


def pack(rows: Sequence[Sequence[Suffix]], pad_id: int) -> Packed:
    """Pack each shared prefix's suffixes into a row, padded with ``pad_id`` to the longest.

    Every suffix's tokens but its last, whose logits nobody reads, stand in the first columns; the last ones and the
    option prefixes stand in the last columns.
    """
    unread: list[list[tuple[int, ...]]] = [[] for _ in rows]
    read: list[list[tuple[int, ...]]] = [[] for _ in rows]
    columns: list[list[list[int]]] = [[] for _ in rows]
    for row, suffixes in enumerate(rows):
        number = 0
        for suffix in suffixes:
            end, own = suffix.shared + len(suffix.ids), number
            tokens = [(token, suffix.shared + i, suffix.shared, own, _NO_PARENT) for i, token in enumerate(suffix.ids)]
            unread[row] += tokens[:-1]
            last, used = len(read[row]), []
            read[row].append(tokens[-1])
            for prefix in suffix.option_prefixes:
                number += 1
                used += [last, *range(len(read[row]), len(read[row]) + len(prefix.ids))]
                read[row] += [(token, end + i, suffix.shared, number, own) for i, token in enumerate(prefix.ids)]
            columns[row].append(used)
            number += 1
    logits_to_keep, others = max(map(len, read)), max(map(len, unread))
    pad = (pad_id, 0, 0, _PADDING, _NO_PARENT)
    table = torch.tensor(
        [
            [*first, *[pad] * (others - len(first)), *last, *[pad] * (logits_to_keep - len(last))]
            for first, last in zip(unread, read, strict=True)
        ]
    )  # [n, t, 5]
    ids, positions, shared, owner, parent = table.unbind(-1)  # [n, t] each
    return Packed(ids, positions, shared, owner, parent, logits_to_keep, columns)


def chunks(suffixes: Sequence[Suffix], tokens: int) -> list[list[Suffix]]:
    """Suffixes in groups of at most so many tokens; one that is longer is a group by itself."""
    groups: list[list[Suffix]] = []
    room = 0
    for suffix in suffixes:
        if not groups or suffix.length > room:
            groups.append([])
            room = tokens
        groups[-1].append(suffix)
        room -= suffix.length
    return groups
